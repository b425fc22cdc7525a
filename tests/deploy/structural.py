"""An API server's treatment of a definition's schema: defaults, the schema itself, rules in CEL.

In small, after apiextensions-apiserver; `tests/deploy/apiserver` asks the original.
"""

from collections.abc import Iterator
from functools import cache
from ipaddress import ip_network

import celpy
from celpy import celtypes
from jsonschema import Draft202012Validator, FormatChecker

FORMATS = FormatChecker(())


@FORMATS.checks("cidr", ValueError)
def _is_block(value):
    """As net.ParseCIDR; a format constrains text alone."""
    return not isinstance(value, str) or ("/" in value and bool(ip_network(value, strict=False)))


def children(schema):
    """The schemas of fields and elements, with the key of each; None for elements and for values under any key."""
    yield from schema.get("properties", {}).items()
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield None, schema[key]


def at(schema, value):
    """Each value that a schema describes, with its part of the schema and its path."""
    pending = [(schema, value, "")]
    while pending:
        part, here, path = pending.pop()
        yield part, here, path
        for key, child in children(part):
            if key is None:
                entries = here.items() if isinstance(here, dict) else enumerate(here if isinstance(here, list) else ())
                pending += [(child, entry, f"{path}[{name}]") for name, entry in entries]
            elif isinstance(here, dict) and key in here:
                pending.append((child, here[key], f"{path}.{key}".lstrip(".")))


def with_defaults(schema, value):
    """Fill in defaults of missing fields."""
    for part, here, _ in at(schema, value):
        if isinstance(here, dict):
            defaults = {key: child["default"] for key, child in children(part) if key and "default" in child}
            here.update({key: value for key, value in defaults.items() if here.get(key) is None})
    return value


def refusals(schema, value) -> list[str]:
    """An API server's objections to an object; CEL rules are evaluated only if nothing else is wrong."""
    value = with_defaults(schema, value)
    errors = Draft202012Validator(schema, format_checker=FORMATS).iter_errors(value)
    found = [f"{error.json_path.removeprefix('$.')}: {error.message:.120}" for error in errors]
    return found or list(broken_rules(schema, value))


def broken_rules(schema, value) -> Iterator[str]:
    for part, here, path in at(schema, value):
        for rule in part.get("x-kubernetes-validations", ()):
            if not program(rule["rule"]).evaluate({"self": celpy.json_to_cel(here)}):
                yield f"{path}: {rule['message']}"


@cache
def program(expression: str):
    environment = celpy.Environment()
    return environment.program(environment.compile(expression), functions=CIDR_LIBRARY)


def is_cidr(text):
    """As netip.ParsePrefix, and no IPv4-mapped addresses: Kubernetes, "CEL in Kubernetes", CIDR library."""
    mapped = getattr(ip_network(text, strict=False).network_address, "ipv4_mapped", None)  # the format was checked
    return celtypes.BoolType(mapped is None)


def contains(outer, inner):
    first, second = (ip_network(text, strict=False) for text in (outer, inner))
    return celtypes.BoolType(first.version == second.version and second.subnet_of(first))


CIDR_LIBRARY = {
    "isCIDR": is_cidr,
    "cidr": lambda text: text,
    "containsCIDR": contains,
}
