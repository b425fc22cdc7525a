/* A strict, bounded JSON scanner (RFC 8259): it finds the members of one object and allocates nothing. */
#ifndef MNP_JSON_H
#define MNP_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the input; absent if `from` is NULL. */
struct span {
    const char *from;
    size_t size;
};

struct member {
    const char *name; /* ASCII */
    struct span value; /* the value's token, without white space around */
};

/* Find members of the object that is the whole text. False unless all of the text is well-formed UTF-8 JSON, an object,
 * of at most 64 levels below the outermost, and none of these members is there twice. */
bool json_members(const char *text, size_t size, struct member *members, size_t count);

/* The characters of a string token, ended by NUL. False if it is no string, too long, or holds NUL or half a
 * surrogate pair. */
bool json_string(struct span token, char *into, size_t size);

/* A token of digits alone, at most `most`. */
bool json_number(struct span token, unsigned most, unsigned *into);

/* The size of the well-formed UTF-8 character at `at`, or 0. */
size_t json_character(const char *at, const char *end);

bool json_is(struct span token, char first);

#endif
