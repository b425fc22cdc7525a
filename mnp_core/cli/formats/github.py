"""Findings as workflow commands of GitHub Actions, which become annotations of a pull request.

Source of the escapes: ``@actions/core``, ``command.ts``. Everything that manifests name is escaped: a name with a
newline is no command.
"""

from collections.abc import Iterator

from mnp_core.cli.findings import Located, Result
from mnp_core.policy.lint import Level

_COMMANDS = {Level.ERROR: "error", Level.WARNING: "warning", Level.HINT: "notice"}
_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_DATA, ":": "%3A", ",": "%2C"}


def github_lines(result: Result) -> Iterator[str]:
    """One command for each finding that counts."""
    yield from map(_line, result.open)


def _line(located: Located) -> str:
    finding = located.finding
    properties = {"title": f"{finding.rule.name} ({finding.rule.id})"}
    if located.file:
        place = {"file": located.file, "line": str(located.position.line), "col": str(located.position.column)}
        properties = {**place, **properties}
    given = ",".join(f"{key}={_escaped(value, _PROPERTY)}" for key, value in properties.items())
    place_of = f"{finding.about}: {finding.field}" if finding.field else str(finding.about)
    return (
        f"::{_COMMANDS[finding.level]} {given}::{_escaped(f'{place_of}: {finding.message}. {finding.remedy}.', _DATA)}"
    )


def _escaped(text: str, escapes: dict[str, str]) -> str:
    """The text in one line; control characters without an escape are left out."""
    return "".join(escapes.get(each, each if each.isprintable() or each == "\t" else "") for each in text)
