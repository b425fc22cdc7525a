"""Sandbox policies in one line each, from the kit for authors of backends."""

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
]
