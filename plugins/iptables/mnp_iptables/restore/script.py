"""The renderer's text, parsed for the applier."""

from collections.abc import Iterable, Mapping

from attrs import frozen

from mnp_core.errors import ApplyError
from mnp_core.model import Family
from mnp_iptables.render.renderer import MEMBERS, SETS, TOOLS
from mnp_iptables.sets.set_types import SetType


@frozen(kw_only=True)
class Script:
    """A ruleset, parsed.

    Attributes:
        rules: Everything but membership.
        sets: The sets that it needs.
        tables: For each family the possible tables, the best one first, each with the input of ``iptables-restore`` to
            fill it.
    """

    rules: str
    sets: Mapping[str, SetType]
    tables: Mapping[Family, Mapping[str, str]]


def parse(text: str) -> Script:
    """Parse a text of `mnp_iptables.render.renderer`.

    Raises:
        ApplyError: It is not a text of the renderer.
    """
    rules, _, members = text.partition(f"{MEMBERS}\n")
    for line in members.splitlines():
        if not line.startswith("add "):
            raise _refused(line)
    sections = _sections(rules)
    return Script(
        rules=rules,
        sets=dict(map(_creation, sections[SETS])),
        tables={family: _tables(sections[header]) for family, header in TOOLS.items()},
    )


def _sections(text: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {header: [] for header in (SETS, *TOOLS.values())}
    current = sections[SETS]
    for line in text.splitlines():
        if line in sections:
            current = sections[line]
        else:
            current.append(line)
    return sections


def _refused(line: str) -> ApplyError:
    return ApplyError(f"not a line of this plugin's rulesets: {line}")


def _creation(line: str) -> tuple[str, SetType]:
    words = line.split(" ")
    if len(words) != 7 or words[0] != "create":
        raise _refused(line)
    return words[1], SetType.parse(" ".join(words[2:5]))


def _tables(lines: Iterable[str]) -> dict[str, str]:
    tables: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("*"):
            tables[line[1:]] = [line]
        elif tables and line.startswith((":", "-A ", "-I ", "COMMIT")):
            tables[next(reversed(tables))].append(line)
        else:
            raise _refused(line)
    return {name: "\n".join([*content, ""]) for name, content in tables.items()}
