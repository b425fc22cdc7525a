/* The network configuration on standard input: what this plugin reads of it. */
#ifndef MNP_CONFIG_H
#define MNP_CONFIG_H

#include "json.h"

#define NEWEST_VERSION "1.1.0"
#define SUPPORTED_VERSIONS "\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\""

struct config {
    char version[16]; /* cniVersion as given, or NEWEST_VERSION as long as it is unknown */
    char socket[108]; /* sun_path */
    bool open; /* atLimit */
    unsigned seconds;
    struct span name; /* tokens; absent if not given */
    struct span network;
    struct span prev_result;
};

/* Codes of the specification. */
enum code {
    OK = 0,
    INCOMPATIBLE_VERSION = 1,
    INVALID_ENVIRONMENT = 4,
    IO_FAILURE = 5,
    UNDECODABLE = 6,
    INVALID_CONFIG = 7,
    TRY_AGAIN_LATER = 11,
    NOT_AVAILABLE = 50,
};

/* Read and check it. Other than OK, `*problem` names field and remedy. */
enum code read_config(const char *text, size_t size, struct config *config, const char **problem);

/* Whether the configuration's version is `oldest` or newer: both are supported ones. */
bool version_is_at_least(const struct config *config, const char *oldest);

#endif
