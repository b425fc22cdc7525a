"""The renderer's text, taken apart again for those who bring it into force."""

from collections.abc import Iterable, Mapping

from attrs import define, field, frozen

from mnp_core.errors import ApplyError
from mnp_core.model import Family
from mnp_iptables.renderer import MEMBERS, SETS, TOOLS
from mnp_iptables.sets import SetType

_OPTION_BEFORE_SET = "--match-set"
_COMMENT = " -m comment "


@define
class TableScript:
    """What is to be in one table of one family.

    Attributes:
        name: The table.
        chains: Our chains with their rules, which are without ``-A CHAIN``.
        jumps: Built-in chains with those of ours that they jump to, in the order in which packets meet them.
    """

    name: str
    chains: dict[str, list[str]] = field(factory=dict)
    jumps: dict[str, list[str]] = field(factory=dict)

    def take(self, line: str) -> None:
        """Take in one line of the text.

        Raises:
            ApplyError: It is none that the renderer writes.
        """
        kind, _, rest = line.partition(" ")
        chain, _, rule = rest.partition(" ")
        if kind == "-A" and chain in self.chains:
            self.chains[chain].append(rule)
        elif kind == "-I":
            self.jumps.setdefault(chain, []).insert(0, rule.removeprefix("-j "))
        elif kind.startswith(":"):
            self.chains[kind[1:]] = []
        elif line != "COMMIT":
            raise _refused(line)


@frozen(kw_only=True)
class Script:
    """A ruleset: the sets that it needs, and for each family the tables that it may be put into, the best one first."""

    sets: Mapping[str, SetType]
    tables: Mapping[Family, tuple[TableScript, ...]]


def parse(text: str) -> Script:
    """Read what `mnp_iptables.renderer` wrote.

    Raises:
        ApplyError: Somebody else wrote it.
    """
    sections = _sections(text)
    for line in sections[MEMBERS]:
        if not line.startswith("add "):
            raise _refused(line)
    return Script(
        sets=dict(map(_creation, sections[SETS])),
        tables={family: tuple(_tables(sections[header])) for family, header in TOOLS.items()},
    )


def _sections(text: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {header: [] for header in (SETS, *TOOLS.values(), MEMBERS)}
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


def _tables(lines: Iterable[str]) -> list[TableScript]:
    tables: list[TableScript] = []
    for line in lines:
        if line.startswith("*"):
            tables.append(TableScript(name=line[1:]))
        elif tables:
            tables[-1].take(line)
        else:
            raise _refused(line)
    return tables


def with_set_names(rule: str, names: Mapping[str, str]) -> str:
    """A rule with other names for the sets that it looks into; comments stay as they are."""
    matches, separator, rest = rule.partition(_COMMENT)
    words = matches.split(" ")
    for index, word in enumerate(words[:-1]):
        if word == _OPTION_BEFORE_SET:
            words[index + 1] = names.get(words[index + 1], words[index + 1])
    return " ".join(words) + separator + rest
