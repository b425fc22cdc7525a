"""Findings for eyes, and as JSON."""

from collections.abc import Iterator

from mnp_core.classes import frozen
from mnp_core.cli.findings import Located, Result
from mnp_core.cli.formats.printing import printable
from mnp_core.policy.lint import Level

_COLOURS = {Level.ERROR: "red", Level.WARNING: "magenta", Level.HINT: "yellow"}
_NOUNS = {Level.ERROR: "problem", Level.WARNING: "warning", Level.HINT: "hint"}
_PREFIXES = {Level.ERROR: "", Level.WARNING: "Warning, ", Level.HINT: "Hint, "}


@frozen
class Line:
    """A line with its style."""

    text: str
    colour: str | None = None
    bold: bool = False


def text_lines(result: Result, counted: str) -> Iterator[Line]:
    """Three lines for each finding, and a last one.

    Args:
        result: The findings.
        counted: The objects in words, for the last line.
    """
    for each in result.open:
        finding = each.finding
        colour = _COLOURS[finding.level]
        yield Line(f"{_place(each)}{finding.about}{finding.field and f': {finding.field}'}", bold=True)
        yield Line(f"  {_PREFIXES[finding.level]}{finding.rule.name}: {finding.message}.", colour)
        yield Line(f"  {finding.remedy}.")
    count = counts(result)
    found = [_plural(count[level.value], _NOUNS[level]) for level in Level if count[level.value]]
    words = " and ".join(filter(None, (", ".join(found[:-1]), *found[-1:]))) if count["error"] else _without(found)
    excused = f"; {_plural(len(result.excused), 'finding')} ignored" if result.excused else ""
    yield Line(f"{words} in {counted}{excused}", "red" if count["error"] else "green")


def _without(found: list[str]) -> str:
    return " and ".join(["no problems", *found]) if len(found) < 2 else f"no problems, {' and '.join(found)}"


def _place(located: Located) -> str:
    place = located.position
    return f"{printable(located.file)}:{place.line}:{place.column}: " if located.file else ""


def _plural(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def counts(result: Result) -> dict[str, int]:
    """The number of open findings by level."""
    levels = [each.finding.level for each in result.open]
    return {level.value: levels.count(level) for level in Level}


def as_json(located: Located) -> dict[str, object]:
    """One element of ``reports``: a report as other commands have it, with its rule and place."""
    finding = located.finding
    place = {"file": located.file, "line": located.position.line, "column": located.position.column}
    return {
        "kind": finding.about.kind,
        "name": str(finding.about.name),
        "field": finding.field,
        "reason": finding.rule.name,
        "message": finding.message,
        "remedy": finding.remedy,
        "severity": _NOUNS[finding.level],
        "rule": finding.rule.id,
        **(place if located.file else {"file": None, "line": None, "column": None}),
    }


def json_value(result: Result, skipped: int) -> dict[str, object]:
    """The whole answer."""
    ignored = [{**as_json(each), "justification": each.excuse} for each in result.excused]
    return {
        "reports": [*map(as_json, result.open)],
        "ignored": ignored,
        "summary": {**counts(result), "ignored": len(ignored), "skipped": skipped},
    }
