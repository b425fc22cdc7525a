/* mnp-cnigate: a chained CNI plugin that asks the node agent whether a pod may start.
 *
 * It changes nothing in the pod: ADD prints the result of the plugin before it, byte for byte, once the agent says that
 * the pod's rules are in force. See README.md for the configuration, and the specification of CNI, version 1.1.0. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

enum { LARGEST_INPUT = 1 << 20, INPUT_SECONDS = 10, REASON = 1024 };

static char input[LARGEST_INPUT + 1];
static struct config config;

static bool write_all(const char *from, size_t size) {
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, from, size);
        if (written < 0 && errno != EINTR)
            return false;
        if (written > 0) {
            from += written;
            size -= (size_t)written;
        }
    }
    return true;
}

/* The inside of a JSON string. What is no character, or no printable one, becomes '?', so that two need an escape. */
static void quote(const char *from, char *into, size_t size) {
    const char *end = from + strlen(from);
    size_t used = 0;
    while (from < end && used + 5 < size) {
        size_t bytes = json_character(from, end);
        bool printable = bytes > 1 || (bytes == 1 && *from >= 0x20 && *from != 0x7f);
        if (*from == '"' || *from == '\\')
            into[used++] = '\\';
        if (printable)
            memcpy(into + used, from, bytes);
        else
            into[used] = '?';
        used += printable ? bytes : 1;
        from += bytes ? bytes : 1;
    }
    into[used] = '\0';
}

static int fail(enum code code, const char *message, const char *details) {
    static char quoted[2 * REASON], text[2 * REASON + 256];
    quote(details, quoted, sizeof quoted);
    int size = snprintf(text, sizeof text, "{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"mnp-cnigate: %s\",\"details\":\"%s\"}\n",
                        config.version, code, message, quoted);
    write_all(text, (size_t)size);
    return 1;
}

/* All of standard input; -1 if it does not end in time, or is too big. */
static ssize_t read_input(void) {
    struct pollfd poller = {.fd = STDIN_FILENO, .events = POLLIN};
    size_t used = 0;
    while (used < sizeof input) {
        int ready = poll(&poller, 1, INPUT_SECONDS * 1000);
        if (ready == 0)
            return -1;
        ssize_t got = ready < 0 ? -1 : read(STDIN_FILENO, input + used, sizeof input - used);
        if (got == 0)
            return (ssize_t)used;
        if (got < 0 && errno != EINTR)
            return -1;
        used += got > 0 ? (size_t)got : 0;
    }
    return -1;
}

static int version(void) {
    char text[256];
    const char *problem;
    ssize_t size = read_input();
    read_config(input, size < 0 ? 0 : (size_t)size, &config, &problem); /* for its version, whatever else is there */
    size = snprintf(text, sizeof text, "{\"cniVersion\":\"%s\",\"supportedVersions\":[" SUPPORTED_VERSIONS "]}\n",
                    config.version);
    return write_all(text, (size_t)size) ? 0 : 1;
}

static int pass(void) {
    bool written = write_all(config.prev_result.from, config.prev_result.size) && write_all("\n", 1);
    return written ? 0 : 1;
}

/* Whether the agent lets it pass, or the configuration does without the agent; else `*status` is the exit status. */
static bool passes(const char *verb, const struct call *call, enum code absent, int *status) {
    char reason[REASON];
    *status = 0;
    switch (ask_agent(verb, call, &config, reason, sizeof reason)) {
    case ADMITTED:
        return true;
    case REFUSED:
        *status = fail(TRY_AGAIN_LATER, "the pod must not start yet", reason);
        return false;
    case INVALID:
        *status = fail(INVALID_CONFIG, "invalid network configuration", reason);
        return false;
    case NO_ANSWER:
        break;
    }
    if (config.open) {
        fprintf(stderr, "mnp-cnigate: %s; goes on without, as atLimit is \"open\"\n", reason);
        return true;
    }
    *status = fail(absent, "the node agent does not answer", reason);
    return false;
}

static int add(const struct call *call) {
    int status;
    return passes("ADD", call, TRY_AGAIN_LATER, &status) ? pass() : status;
}

static int check(const struct call *call) {
    int status;
    passes("CHECK", call, TRY_AGAIN_LATER, &status);
    return status;
}

static int status(void) {
    int result;
    config.prev_result = (struct span){NULL, 0};
    passes("STATUS", NULL, NOT_AVAILABLE, &result);
    return result;
}

/* Nothing was made, so nothing is removed, and no removal fails: the runtime would keep the pod's sandbox and try for
 * ever, for instance with a configuration that ADD refused. The agent is told, and not waited for. */
static int delete(void) {
    const char *problem;
    char reason[REASON];
    struct call call;
    ssize_t size = read_input();
    if (!read_call(&call, true, &problem))
        return fail(INVALID_ENVIRONMENT, "invalid environment", problem);
    if (size >= 0 && read_config(input, (size_t)size, &config, &problem) == OK) {
        config.seconds = 1;
        config.prev_result = (struct span){NULL, 0};
        ask_agent("DEL", &call, &config, reason, sizeof reason);
    }
    return 0;
}

static int with_result(const char *verb) {
    const char *problem;
    struct call call;
    if (!json_is(config.prev_result, '{'))
        return fail(INVALID_CONFIG, "prevResult is missing",
                    "put mnp-cnigate behind the plugin that makes the interface, in the list \"plugins\"");
    if (!read_call(&call, false, &problem))
        return fail(INVALID_ENVIRONMENT, "invalid environment", problem);
    return strcmp(verb, "ADD") == 0 ? add(&call) : check(&call);
}

static int with_config(const char *verb, const char *oldest) {
    const char *problem;
    ssize_t size = read_input();
    if (size < 0)
        return fail(IO_FAILURE, "the network configuration cannot be read", "it has to end, within 1 MiB");
    enum code code = read_config(input, (size_t)size, &config, &problem);
    if (code != OK)
        return fail(code, code == INCOMPATIBLE_VERSION ? "incompatible CNI version" : "invalid network configuration", problem);
    if (!version_is_at_least(&config, oldest))
        return fail(INCOMPATIBLE_VERSION, "the configuration's cniVersion does not have this command", verb);
    if (strcmp(verb, "GC") == 0)
        return 0;
    return strcmp(verb, "STATUS") == 0 ? status() : with_result(verb);
}

int main(void) {
    static const char *const verbs[][2] = {{"ADD", "0.3.1"}, {"CHECK", "0.4.0"}, {"GC", "1.1.0"}, {"STATUS", "1.1.0"}};
    const char *verb = getenv("CNI_COMMAND");
    signal(SIGPIPE, SIG_IGN);
    strcpy(config.version, NEWEST_VERSION);
    if (verb && strcmp(verb, "VERSION") == 0)
        return version();
    if (verb && strcmp(verb, "DEL") == 0)
        return delete();
    for (size_t i = 0; verb && i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verb, verbs[i][0]) == 0)
            return with_config(verb, verbs[i][1]);
    return fail(INVALID_ENVIRONMENT, "invalid environment", "CNI_COMMAND: give ADD, CHECK, DEL, GC, STATUS or VERSION");
}
