/* One question to the node agent, and its answer (README.md, "Protocol"). */
#ifndef MNP_AGENT_H
#define MNP_AGENT_H

#include "call.h"
#include "config.h"

enum answer {
    ADMITTED,
    REFUSED, /* the agent's decision */
    INVALID, /* the agent's, about the configuration */
    NO_ANSWER, /* it is not there, too slow, or speaks another version */
};

/* Ask, and wait at most config->seconds. `call` may be NULL. `reason` is what the agent says, or the cause of NO_ANSWER. */
enum answer ask_agent(const char *verb, const struct call *call, const struct config *config, char *reason, size_t size);

#endif
