"""Findings with their places in files, those that comments excuse among them."""

from collections.abc import Collection, Iterable, Iterator

from attrs import evolve, field

from mnp_core.classes import frozen
from mnp_core.cli.ignores import Ignore, PositionsOf, find_ignores
from mnp_core.cli.linting import doubts
from mnp_core.cli.objects import Objects
from mnp_core.model import ObjectName, ObjectRef
from mnp_core.policy.lint import Finding, Level, Rule, finding_of
from mnp_core.policy.lint.rules import IGNORE_WITHOUT_REASON, USELESS_IGNORE
from mnp_core.sources.manifests import STDIN, Place
from mnp_core.sources.positions import Position, parse_path


@frozen(kw_only=True)
class Located:
    """A finding in a file.

    Attributes:
        finding: The finding.
        file: As it was named; empty if the object is from no file.
        position: Of the field, or of the innermost one around it that is there.
        excuse: The reason of the comment that excuses it, which may be empty; None if none does.
    """

    finding: Finding
    file: str = ""
    position: Position = field(factory=Position)
    excuse: str | None = None


@frozen(kw_only=True)
class Result:
    """All findings, in the order of files and lines.

    Attributes:
        open: Those that count.
        excused: Those that comments excuse.
    """

    open: tuple[Located, ...]
    excused: tuple[Located, ...]

    def fails(self, level: Level) -> bool:
        """Whether a finding is as urgent as a level, or more."""
        return any(each.finding.level.rank <= level.rank for each in self.open)


def examine(objects: Objects, rules: Collection[Rule], *, complete: bool) -> Result:
    """Find everything that rules find about objects.

    Args:
        objects: The objects.
        rules: The rules that count.
        complete: Whether there are no other objects in the cluster.
    """
    positions = PositionsOf()
    ignores = find_ignores(objects.files, positions)
    found = [each for each in _placed(objects, complete=complete) if each[0].rule in rules]
    located: list[Located] = []
    used: set[int] = set()
    for finding, place in found:
        ignore = next((each for each in ignores if place is not None and each.excuses(finding.rule, place)), None)
        used |= {id(ignore)}
        located.append(_located(finding, place, positions, ignore))
    located += (each for each in _about_ignores(ignores, used, rules) if each.finding.rule in rules)
    located.sort(key=_order)
    return Result(
        open=tuple(each for each in located if each.excuse is None),
        excused=tuple(each for each in located if each.excuse is not None),
    )


def _placed(objects: Objects, *, complete: bool) -> Iterator[tuple[Finding, Place | None]]:
    for report in objects.reports():
        finding = finding_of(report)
        yield finding, _inside(objects.place(report.about, report), finding)
    for finding in doubts(objects, complete=complete):
        place = _inside(objects.place(finding.about), finding)
        yield evolve(finding, about=objects.as_written(finding.about)), place


def _inside(place: Place | None, finding: Finding) -> Place | None:
    return place.inside(*parse_path(finding.field)) if place is not None else None


def _located(finding: Finding, place: Place | None, positions: PositionsOf, ignore: Ignore | None) -> Located:
    if place is None:
        return Located(finding=finding)
    return Located(
        finding=finding,
        file=_shown(place.file.name),
        position=positions(place.file).position(place.document, place.path),
        excuse=ignore.reason if ignore is not None else None,
    )


def _shown(name: str) -> str:
    return "standard input" if name == STDIN else name


def _about_ignores(ignores: Iterable[Ignore], used: Collection[int], rules: Collection[Rule]) -> Iterator[Located]:
    for ignore in ignores:
        if ignore.unknown or not ignore.rules:
            wrong = f"there is no rule {ignore.unknown}" if ignore.unknown else "it names no rule"
            yield _about(ignore, USELESS_IGNORE, f"{wrong}: nothing is ignored by it")
        elif id(ignore) not in used and ignore.rules & set(rules):
            names = ", ".join(sorted(rule.name for rule in ignore.rules))
            yield _about(ignore, USELESS_IGNORE, f"there is no finding of {names} to ignore here")
        elif not ignore.reason:
            yield _about(
                ignore, IGNORE_WITHOUT_REASON, "it gives no reason: nobody will know why the finding is accepted"
            )


def _about(ignore: Ignore, rule: Rule, message: str) -> Located:
    name = _shown(ignore.file.name)
    finding = Finding(
        about=ObjectRef("Comment", ObjectName("", f"in {name}")),
        field="",
        rule=rule,
        message=message,
        remedy=rule.remedy,
        level=rule.level,
    )
    return Located(finding=finding, file=name, position=ignore.position)


def _order(located: Located) -> tuple[str, Position, Finding]:
    return located.file, located.position, located.finding
