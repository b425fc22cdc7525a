/* The call's parameters, from the environment. */
#ifndef MNP_CALL_H
#define MNP_CALL_H

#include <stdbool.h>
#include <stddef.h>

struct call {
    char container[256];
    char netns[1024];
    char interface[16];
    char namespace[64];
    char pod[254];
    char uid[128]; /* empty for runtimes that do not give it */
};

/* False if a variable is missing or has a wrong form; `*problem` names it. A removal may lack CNI_NETNS and the pod. */
bool read_call(struct call *call, bool removal, const char **problem);

#endif
