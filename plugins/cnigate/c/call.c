#include "call.h"

#include <stdlib.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define ALPHANUMERIC "0123456789" LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool copy(const char *value, char *into, size_t size) {
    if (!value || !*value || strlen(value) >= size)
        return false;
    strcpy(into, value);
    return true;
}

static bool consists_of(const char *text, const char *characters) {
    return text[strspn(text, characters)] == '\0';
}

/* The kernel's dev_valid_name. Bytes over 0x7f are left to the agent, which knows UTF-8. */
static bool is_interface_name(const char *name) {
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strpbrk(name, "/: \t\n\v\f\r");
}

/* The value of a key in CNI_ARGS, KEY=VALUE;KEY=VALUE. */
static bool copy_argument(const char *key, const char *characters, char *into, size_t size) {
    const char *at = getenv("CNI_ARGS");
    size_t length = strlen(key);
    into[0] = '\0';
    while (at && *at) {
        size_t part = strcspn(at, ";");
        if (part > length && strncmp(at, key, length) == 0 && at[length] == '=') {
            size_t value = part - length - 1;
            if (value >= size)
                return false;
            memcpy(into, at + length + 1, value);
            into[value] = '\0';
            return consists_of(into, characters);
        }
        at += part + (at[part] == ';');
    }
    return true;
}

static bool read_pod(struct call *call, const char **problem) {
    *problem = "CNI_ARGS: K8S_POD_NAMESPACE and K8S_POD_NAME have to name the pod, as kubelet's runtimes do";
    return copy_argument("K8S_POD_NAMESPACE", LETTERS "0123456789-", call->namespace, sizeof call->namespace) &&
           copy_argument("K8S_POD_NAME", LETTERS "0123456789-.", call->pod, sizeof call->pod) &&
           copy_argument("K8S_POD_UID", ALPHANUMERIC "-", call->uid, sizeof call->uid) && call->namespace[0] && call->pod[0];
}

bool read_call(struct call *call, bool removal, const char **problem) {
    memset(call, 0, sizeof *call);
    *problem = "CNI_CONTAINERID: has to be there, of letters, digits, '_', '.' and '-', and begin with a letter or digit";
    if (!copy(getenv("CNI_CONTAINERID"), call->container, sizeof call->container) ||
        !consists_of(call->container, ALPHANUMERIC "_.-") || strchr("_.-", call->container[0]))
        return false;
    *problem = "CNI_IFNAME: has to be the name of a network interface";
    if (!copy(getenv("CNI_IFNAME"), call->interface, sizeof call->interface) || !is_interface_name(call->interface))
        return false;
    if (removal)
        return true;
    *problem = "CNI_NETNS: has to be the absolute path of a network namespace";
    if (!copy(getenv("CNI_NETNS"), call->netns, sizeof call->netns) || call->netns[0] != '/')
        return false;
    return read_pod(call, problem);
}
