"""Sandbox policies in one line each, from the kit for authors of backends."""

from attrs import evolve

from mnp_core.testing.policies import (
    DENY,
    GROUP,
    OTHER_GROUP,
    POD,
    addresses,
    allow,
    allow_endpoints,
    endpoints,
    interface,
    isolated,
    only,
    origin,
    sandbox,
)


def with_chain(ruleset, chain):
    """A ruleset with one more chain, last."""
    return evolve(ruleset, table=evolve(ruleset.table, chains=(*ruleset.table.chains, chain)))


__all__ = [
    "DENY",
    "GROUP",
    "OTHER_GROUP",
    "POD",
    "addresses",
    "allow",
    "allow_endpoints",
    "endpoints",
    "interface",
    "isolated",
    "only",
    "origin",
    "sandbox",
    "with_chain",
]
