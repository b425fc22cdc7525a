"""Custom rules of the node's operator, in the language of nft, one a line (semantics section 7).

The files are those of multi-networkpolicy-nftables: blank lines and lines that begin with ``#`` are skipped, the others
are the end of an ``nft add rule inet TABLE CHAIN …``. The lines of a file are asked for packets of its family only.
``accept`` and ``drop`` decide, ``return`` leaves the decision to the policies.
"""

import re
from collections.abc import Iterator

from mnp_core.errors import InputError
from mnp_core.model import CommonRules, CustomRules, Direction

PREFIX = "custom-"
"""How the names of chains begin that hold such rules."""

_LINE = re.compile(r'((?:"[^"\x00-\x1f]*"|[^"#;\\\x00-\x1f])*)(?:#.*)?')
"""A rule that stays one: no second command, no open string, no continued line; then, perhaps, a comment."""


_STRING = re.compile(r'"[^"]*"')


def custom_chain(custom: CustomRules) -> str:
    """The chain that holds the lines of one direction and family."""
    return f"{PREFIX}{custom.direction.value.lower()}-ipv{custom.family}"


def custom_rules(common: CommonRules, direction: Direction) -> tuple[CustomRules, ...]:
    """The non-empty custom rules of one direction, IPv4 first."""
    found = (custom for custom in common.custom if custom.direction is direction and rule_lines(custom))
    return tuple(sorted(found, key=lambda custom: custom.family))


def rule_lines(custom: CustomRules) -> tuple[str, ...]:
    """The rules, in the order of the file.

    Raises:
        InputError: A line is more or less than one rule.
    """
    return tuple(line for _, line in numbered_lines(custom))


def numbered_lines(custom: CustomRules) -> Iterator[tuple[int, str]]:
    """The rules with the numbers of their lines in the file; errors as above."""
    for number, line in enumerate(custom.lines, 1):
        if rule := _rule(custom, number, line.strip().replace("\t", " ")):
            yield number, rule


def _rule(custom: CustomRules, number: int, line: str) -> str:
    match = _LINE.fullmatch(line)
    if not match or not _is_closed(match[1]):
        raise InputError(
            f'{line!r} is not one nftables rule: write one a line, without ";" or "\\", strings and braces closed',
            where=custom.place,
            field=f"line {number}",
        )
    return match[1].strip()


def _is_closed(rule: str) -> bool:
    bare = _STRING.sub("", rule)
    return bare.count("{") == bare.count("}")
