#define _GNU_SOURCE /* struct ucred */
#include "agent.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define GREETING "mnp-cnigate/1 "

static long long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static bool wait_for(int fd, short events, long long deadline) {
    struct pollfd poller = {.fd = fd, .events = events};
    long long left;
    while ((left = deadline - milliseconds()) > 0) {
        int ready = poll(&poller, 1, (int)left);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
    }
    errno = ETIMEDOUT;
    return false;
}

/* A full backlog makes connect wait: SO_SNDTIMEO bounds that. Later transfers never block. */
static int connect_to(const struct config *config) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = config->seconds};
    struct ucred peer;
    socklen_t size = sizeof peer;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    strcpy(address.sun_path, config->socket); /* both are 108 bytes */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
        connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) {
        if (peer.uid == geteuid())
            return fd;
        errno = EPERM; /* who is not root must not admit a pod */
    }
    int error = errno;
    close(fd);
    errno = error == EAGAIN ? ETIMEDOUT : error;
    return -1;
}

static bool send_all(int fd, const char *from, size_t size, long long deadline) {
    while (size > 0) {
        ssize_t sent = send(fd, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            from += sent;
            size -= (size_t)sent;
        } else if ((errno != EAGAIN && errno != EINTR) || !wait_for(fd, POLLOUT, deadline)) {
            return false;
        }
    }
    return true;
}

/* One line without its end. */
static bool receive_line(int fd, char *into, size_t size, long long deadline) {
    size_t used = 0;
    while (used < size) {
        ssize_t received = recv(fd, into + used, size - used, MSG_DONTWAIT);
        if (received == 0)
            errno = ECONNRESET;
        if (received == 0 || (received < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (received < 0) {
            if (!wait_for(fd, POLLIN, deadline))
                return false;
            continue;
        }
        char *end = memchr(into + used, '\n', (size_t)received);
        used += (size_t)received;
        if (end) {
            *end = '\0';
            return true;
        }
    }
    errno = EMSGSIZE;
    return false;
}

struct text {
    char bytes[8192]; /* all of struct call, each byte escaped by six, would be more: such names are refused */
    size_t size;
};

static void append(struct text *text, const char *from, size_t size) {
    if (size > sizeof text->bytes - text->size)
        size = sizeof text->bytes - text->size; /* full: noticed by whoever sends it */
    memcpy(text->bytes + text->size, from, size);
    text->size += size;
}

static void append_text(struct text *text, const char *from) {
    append(text, from, strlen(from));
}

static void append_string(struct text *text, const char *key, const char *value) {
    char escape[8];
    append_text(text, ",\"");
    append_text(text, key);
    append_text(text, "\":\"");
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (c < 0x20 || c == '"' || c == '\\')
            append(text, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
        else
            append(text, value, 1);
    }
    append_text(text, "\"");
}

static void append_call(struct text *text, const struct call *call) {
    append_string(text, "containerId", call->container);
    append_string(text, "netns", call->netns);
    append_string(text, "interface", call->interface);
    append_string(text, "podNamespace", call->namespace);
    append_string(text, "podName", call->pod);
    append_string(text, "podUid", call->uid);
}

/* The request before the tokens of the configuration, which are sent as they stand in the input. */
static void describe(struct text *text, const char *verb, const struct call *call, long long left) {
    char limit[64];
    text->size = 0;
    append(text, limit, (size_t)snprintf(limit, sizeof limit, "{\"milliseconds\":%lld", left < 0 ? 0 : left));
    append_string(text, "verb", verb);
    if (call)
        append_call(text, call);
}

static bool send_request(int fd, const struct text *head, const struct config *config, long long deadline) {
    const struct span parts[] = {{",\"name\":", 8},       config->name,    {",\"network\":", 11}, config->network,
                                 {",\"prevResult\":", 14}, config->prev_result};
    char frame[64];
    size_t total = head->size + 1;
    for (int i = 0; i < 6; i += 2)
        total += parts[i + 1].from ? parts[i].size + parts[i + 1].size : 0;
    int size = snprintf(frame, sizeof frame, GREETING "%zu\n", total);
    if (!send_all(fd, frame, (size_t)size, deadline) || !send_all(fd, head->bytes, head->size, deadline))
        return false;
    for (int i = 0; i < 6; i += 2)
        if (parts[i + 1].from && (!send_all(fd, parts[i].from, parts[i].size, deadline) ||
                                  !send_all(fd, parts[i + 1].from, parts[i + 1].size, deadline)))
            return false;
    return send_all(fd, "}", 1, deadline);
}

static enum answer read_answer(const char *line, char *reason, size_t size) {
    static const char *const words[] = {[ADMITTED] = "admitted", [REFUSED] = "refused", [INVALID] = "invalid"};
    snprintf(reason, size, "the agent at the socket speaks another protocol: install its version of this plugin");
    if (strncmp(line, GREETING, strlen(GREETING)) != 0)
        return NO_ANSWER;
    line += strlen(GREETING);
    size_t word = strcspn(line, " ");
    for (enum answer answer = ADMITTED; answer <= INVALID; answer++)
        if (strlen(words[answer]) == word && strncmp(line, words[answer], word) == 0) {
            snprintf(reason, size, "%s", line + word + (line[word] == ' '));
            return answer;
        }
    return NO_ANSWER;
}

enum answer ask_agent(const char *verb, const struct call *call, const struct config *config, char *reason, size_t size) {
    static struct text head;
    char line[4096];
    enum answer answer = NO_ANSWER;
    long long deadline = milliseconds() + config->seconds * 1000LL;
    int fd = connect_to(config);
    describe(&head, verb, call, deadline - milliseconds());
    if (head.size == sizeof head.bytes)
        errno = EMSGSIZE;
    /* An answer may come before the whole request was taken: a busy agent refuses at once, and closes. */
    else if (fd >= 0 && (send_request(fd, &head, config, deadline) || errno == EPIPE || errno == ECONNRESET) &&
             receive_line(fd, line, sizeof line, deadline)) {
        close(fd);
        return read_answer(line, reason, size);
    }
    snprintf(reason, size, "no answer of the node agent at %s: %s", config->socket, strerror(errno));
    if (fd >= 0)
        close(fd);
    return answer;
}
