"""Custom rules of the node's operator, in the language of iptables, one a line (semantics section 7).

The files are those of multi-networkpolicy-iptables: blank lines and lines that begin with ``#`` are skipped, the others
are the end of an ``iptables -A CHAIN …``. ``ACCEPT`` and ``DROP`` decide, ``RETURN`` leaves the decision to policies.

The lines stand in the chain of each interface, where leaving the chain means that the packet passes our rules:
``ACCEPT`` is written as ``RETURN``, because a real one would keep the packet from foreign rules (S49), and ``RETURN``
as a goto to the next chain.
"""

import re
from collections.abc import Iterable

from mnp_core.errors import InputError
from mnp_core.model import CommonRules, CustomRules, Direction, Family
from mnp_iptables.render.hook_points import HookPoints

_LINE = re.compile(r'(?:"[^"\\\x00-\x1f\ud800-\udfff]*"|[^"\'\\\x00-\x1f\ud800-\udfff])*')
"""A rule that stays one: UTF-8, each string closed, nothing escaped."""

_QUOTED = re.compile(r'("[^"]*")')
_TARGET = re.compile(r"(?<!\S)(?:-j|--jump)[ =]?(ACCEPT|RETURN|REJECT)(?!\S)")
_REJECT_WITH = re.compile(r"(?<!\S)--reject-with[ =]\S+")


def has_reject(common: CommonRules) -> bool:
    """Whether some rule rejects, which not every table can."""
    return any("REJECT" in _targets(line) for custom in common.custom for line in _lines(custom))


def custom_lines(
    common: CommonRules, direction: Direction, family: Family, hook_points: HookPoints, *, follows: str
) -> tuple[str, ...]:
    """The rules of one direction and family, in the order of their file.

    Args:
        common: Source of the custom rules.
        direction: Direction of the rules.
        family: Family of the rules.
        hook_points: Table and chains of the rules; REJECT becomes DROP in a table without it.
        follows: The chain for packets that the rules do not decide.

    Raises:
        InputError: A line is more or less than one rule.
    """
    wanted = (custom for custom in common.custom if (custom.direction, custom.family) == (direction, family))
    return tuple(_translated(line, hook_points, follows) for custom in wanted for line in _lines(custom))


def _lines(custom: CustomRules) -> Iterable[str]:
    lines = (line.strip().replace("\t", " ") for line in custom.lines)
    return (
        _checked(custom, number, line)
        for number, line in enumerate(lines, start=1)
        if line and not line.startswith("#")
    )


def _checked(custom: CustomRules, number: int, line: str) -> str:
    if not _LINE.fullmatch(line):
        raise InputError(
            f"{line!r} is not one iptables rule: write one a line, strings in double quotes and each of them closed, "
            "without single quotes and backslashes",
            where=custom.place,
            field=f"line {number}",
        )
    return line


def _targets(line: str) -> set[str]:
    return {target for part in _QUOTED.split(line)[::2] for target in _TARGET.findall(part)}


def _translated(line: str, hook_points: HookPoints, follows: str) -> str:
    written = {
        "ACCEPT": "-j RETURN",
        "RETURN": f"-g {follows}",
        "REJECT": "-j REJECT" if hook_points.rejects else "-j DROP",
    }
    parts = _QUOTED.split(line)
    for index in range(0, len(parts), 2):  # the others are strings
        parts[index] = _TARGET.sub(lambda target: written[target[1]], parts[index])
        if not hook_points.rejects:
            parts[index] = _REJECT_WITH.sub("", parts[index])
    return "".join(parts).strip()
