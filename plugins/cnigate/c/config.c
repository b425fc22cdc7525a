#include "config.h"

#include <string.h>

static const char *const VERSIONS[] = {"0.3.1", "0.4.0", "1.0.0", "1.1.0"};
enum { VERSION_COUNT = sizeof VERSIONS / sizeof VERSIONS[0], MOST_SECONDS = 100 };

static int version_index(const char *version) {
    for (int i = 0; i < VERSION_COUNT; i++)
        if (strcmp(VERSIONS[i], version) == 0)
            return i;
    return -1;
}

bool version_is_at_least(const struct config *config, const char *oldest) {
    return version_index(config->version) >= version_index(oldest);
}

/* Only what may stand in a version is ever written back. */
static bool read_version(struct span token, char *into, size_t size) {
    char text[32];
    if (!json_string(token, text, sizeof text) || strlen(text) >= size)
        return false;
    if (strspn(text, "0123456789.abcdefghijklmnopqrstuvwxyz-+") != strlen(text))
        return false;
    strcpy(into, text);
    return true;
}

static enum code read_fields(const struct member *field, struct config *config, const char **problem) {
    char limit[16];
    *problem = "socket: give an absolute path of at most 103 bytes";
    if (field[0].value.from && !json_string(field[0].value, config->socket, sizeof config->socket))
        return INVALID_CONFIG;
    if (config->socket[0] != '/')
        return INVALID_CONFIG;
    *problem = "network: give the NetworkAttachmentDefinition as a string, namespace/name, or leave it out";
    if (config->network.from && !json_is(config->network, '"'))
        return INVALID_CONFIG;
    *problem = "name: has to be a string";
    if (!json_is(config->name, '"'))
        return INVALID_CONFIG;
    *problem = "atLimit: give \"closed\" or \"open\"";
    if (field[1].value.from) {
        if (!json_string(field[1].value, limit, sizeof limit) || (strcmp(limit, "open") && strcmp(limit, "closed")))
            return INVALID_CONFIG;
        config->open = strcmp(limit, "open") == 0;
    }
    *problem = "seconds: give a whole number from 1 to 100";
    if (field[2].value.from && !json_number(field[2].value, MOST_SECONDS, &config->seconds))
        return INVALID_CONFIG;
    if (config->seconds == 0)
        return INVALID_CONFIG;
    *problem = "";
    return OK;
}

enum code read_config(const char *text, size_t size, struct config *config, const char **problem) {
    struct member fields[] = {{"socket", {0}},  {"atLimit", {0}}, {"seconds", {0}},   {"cniVersion", {0}},
                              {"name", {0}},    {"network", {0}}, {"prevResult", {0}}};
    *config = (struct config){.version = NEWEST_VERSION, .socket = "/run/mnp/gate.sock", .seconds = 10};
    *problem = "it is no JSON object, has a key twice, or is nested too deep";
    if (!json_members(text, size, fields, sizeof fields / sizeof fields[0]))
        return UNDECODABLE;
    config->name = fields[4].value;
    config->network = fields[5].value;
    config->prev_result = fields[6].value;
    *problem = "cniVersion: give 0.3.1, 0.4.0, 1.0.0 or 1.1.0";
    if (!read_version(fields[3].value, config->version, sizeof config->version) || version_index(config->version) < 0)
        return INCOMPATIBLE_VERSION;
    return read_fields(fields, config, problem);
}
