#include "json.h"

#include <stdint.h>
#include <string.h>

enum { DEPTH = 64 }; /* bits of struct nesting; results of CNI plugins have four levels */

struct scanner {
    const unsigned char *at;
    const unsigned char *end;
};

static int peek(const struct scanner *s) {
    return s->at < s->end ? *s->at : -1;
}

static bool take(struct scanner *s, int expected) {
    if (peek(s) != expected)
        return false;
    s->at++;
    return true;
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

static int hex(int c) {
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void skip_space(struct scanner *s) {
    for (int c = peek(s); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(s))
        s->at++;
}

static bool skip_digits(struct scanner *s) {
    if (!is_digit(peek(s)))
        return false;
    while (is_digit(peek(s)))
        s->at++;
    return true;
}

static bool scan_number(struct scanner *s) {
    take(s, '-');
    if (!take(s, '0') && !skip_digits(s))
        return false;
    if (take(s, '.') && !skip_digits(s))
        return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        return skip_digits(s);
    }
    return true;
}

static bool scan_word(struct scanner *s, const char *word) {
    size_t size = strlen(word);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, word, size) != 0)
        return false;
    s->at += size;
    return true;
}

/* Behind the backslash. */
static bool scan_escape(struct scanner *s) {
    int c = peek(s);
    if (c <= 0 || !strchr("\"\\/bfnrtu", c))
        return false;
    s->at++;
    for (int digits = c == 'u' ? 4 : 0; digits > 0; digits--) {
        if (hex(peek(s)) < 0)
            return false;
        s->at++;
    }
    return true;
}

/* One character of more than one byte, in its shortest form and no surrogate (RFC 3629). */
static bool scan_utf8(struct scanner *s) {
    int first = peek(s);
    int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    if (first < 0xc2 || first > 0xf4 || s->end - s->at <= more)
        return false;
    int second = s->at[1];
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
        (first == 0xf4 && second > 0x8f))
        return false;
    for (s->at++; more > 0; more--, s->at++)
        if ((*s->at & 0xc0) != 0x80)
            return false;
    return true;
}

static bool scan_string(struct scanner *s) {
    if (!take(s, '"'))
        return false;
    while (!take(s, '"')) {
        int c = peek(s);
        if (c < 0x20) /* the end, too */
            return false;
        if (c >= 0x80) {
            if (!scan_utf8(s))
                return false;
        } else {
            s->at++;
            if (c == '\\' && !scan_escape(s))
                return false;
        }
    }
    return true;
}

static bool scan_scalar(struct scanner *s) {
    switch (peek(s)) {
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        return scan_number(s);
    }
}

/* A member's name and the colon. */
static bool scan_name(struct scanner *s, struct span *name) {
    skip_space(s);
    name->from = (const char *)s->at;
    if (!scan_string(s))
        return false;
    name->size = (size_t)((const char *)s->at - name->from);
    skip_space(s);
    return take(s, ':');
}

/* The objects and arrays around the present position; the lowest bit is the innermost, set for an object. */
struct nesting {
    uint64_t objects;
    unsigned depth;
};

/* At the opening bracket; `*ended` if the closing one follows at once. */
static bool open_bracket(struct scanner *s, struct nesting *in, bool *ended) {
    struct span ignored;
    bool object = *s->at == '{';
    if (in->depth == DEPTH)
        return false;
    s->at++;
    skip_space(s);
    *ended = take(s, object ? '}' : ']');
    if (*ended)
        return true;
    in->depth++;
    in->objects = in->objects << 1 | object;
    return !object || scan_name(s, &ignored);
}

/* Behind a value: closing brackets, and the comma before the next value. */
static bool close_brackets(struct scanner *s, struct nesting *in) {
    struct span ignored;
    for (; in->depth > 0; in->depth--, in->objects >>= 1) {
        bool object = in->objects & 1;
        skip_space(s);
        if (take(s, ','))
            return !object || scan_name(s, &ignored);
        if (!take(s, object ? '}' : ']'))
            return false;
    }
    return true;
}

static bool scan_value(struct scanner *s) {
    struct nesting in = {0, 0};
    do {
        bool ended = true;
        skip_space(s);
        if (peek(s) == '{' || peek(s) == '[') {
            if (!open_bracket(s, &in, &ended))
                return false;
        } else if (!scan_scalar(s)) {
            return false;
        }
        if (ended && !close_brackets(s, &in))
            return false;
    } while (in.depth > 0);
    return true;
}

static struct member *wanted(struct span name, struct member *members, size_t count) {
    char text[32]; /* longer than any name that is asked for */
    if (!json_string(name, text, sizeof text))
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(members[i].name, text) == 0)
            return &members[i];
    return NULL;
}

static bool scan_member(struct scanner *s, struct member *members, size_t count) {
    struct span name;
    if (!scan_name(s, &name))
        return false;
    skip_space(s);
    const char *from = (const char *)s->at;
    if (!scan_value(s))
        return false;
    struct member *found = wanted(name, members, count);
    if (found && found->value.from)
        return false;
    if (found)
        found->value = (struct span){from, (size_t)((const char *)s->at - from)};
    return true;
}

bool json_members(const char *text, size_t size, struct member *members, size_t count) {
    struct scanner s = {(const unsigned char *)text, (const unsigned char *)text + size};
    for (size_t i = 0; i < count; i++)
        members[i].value = (struct span){NULL, 0};
    skip_space(&s);
    if (!take(&s, '{'))
        return false;
    skip_space(&s);
    if (!take(&s, '}')) {
        do {
            if (!scan_member(&s, members, count))
                return false;
            skip_space(&s);
        } while (take(&s, ','));
        if (!take(&s, '}'))
            return false;
    }
    skip_space(&s);
    return s.at == s.end;
}

static unsigned code_unit(const char *digits) {
    unsigned value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 4 | (unsigned)hex((unsigned char)digits[i]);
    return value;
}

/* The character of the escape at `*at`, which points at its `u`, or 0 if it is none; moves to its last digit. */
static unsigned escaped_character(const char **at, const char *end) {
    unsigned high = code_unit(*at + 1);
    *at += 4;
    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (high > 0xdbff || end - *at <= 6 || (*at)[1] != '\\' || (*at)[2] != 'u')
        return 0;
    unsigned low = code_unit(*at + 3);
    *at += 6;
    return low < 0xdc00 || low > 0xdfff ? 0 : 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static size_t encode(unsigned c, char *into) {
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size - 1; i > 0; i--, c >>= 6)
        into[i] = (char)(0x80 | (c & 0x3f));
    into[0] = (char)(first[size] | c);
    return size;
}

bool json_string(struct span token, char *into, size_t size) {
    static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    if (!json_is(token, '"'))
        return false;
    const char *end = token.from + token.size - 1;
    size_t used = 0;
    for (const char *at = token.from + 1; at < end; at++) {
        if (used + 5 > size) /* a character of four bytes and NUL */
            return false;
        if (*at != '\\') {
            into[used++] = *at;
            continue;
        }
        at++;
        const char *letter = strchr(letters, *at);
        unsigned c = letter ? (unsigned char)meanings[letter - letters] : (unsigned char)*at;
        if (*at == 'u')
            c = escaped_character(&at, end);
        if (c == 0)
            return false;
        used += encode(c, into + used);
    }
    into[used] = '\0';
    return true;
}

bool json_number(struct span token, unsigned most, unsigned *into) {
    unsigned value = 0;
    if (!token.from || token.size > 6)
        return false;
    for (size_t i = 0; i < token.size; i++) {
        if (!is_digit(token.from[i]))
            return false;
        value = value * 10 + (unsigned)(token.from[i] - '0');
    }
    *into = value;
    return value <= most;
}

size_t json_character(const char *at, const char *end) {
    struct scanner s = {(const unsigned char *)at, (const unsigned char *)end};
    int c = peek(&s);
    if (c >= 0 && c < 0x80)
        return 1;
    return scan_utf8(&s) ? (size_t)((const char *)s.at - at) : 0;
}

bool json_is(struct span token, char first) {
    return token.from && token.from[0] == first;
}
