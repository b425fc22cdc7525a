"""Findings as SARIF 2.1.0 (OASIS Static Analysis Results Interchange Format), for code scanning."""

import hashlib
from collections.abc import Iterable
from pathlib import PurePath
from urllib.parse import quote

import mnp_core
from mnp_core.cli.findings import Located, Result
from mnp_core.cli.formats.printing import printable
from mnp_core.policy.lint import RULES, Level, Rule

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Level.ERROR: "error", Level.WARNING: "warning", Level.HINT: "note"}
_RULES = list(RULES.values())
_ROOT = "%SRCROOT%"


def sarif(result: Result) -> dict[str, object]:
    """A log of one run. Excused findings are in it, as suppressed in source."""
    driver = {
        "name": "mnp",
        "version": mnp_core.__version__,
        "semanticVersion": mnp_core.__version__,
        "rules": [_rule(rule) for rule in _RULES],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [*map(_result, result.open), *map(_suppressed, result.excused)],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": f"{rule.meaning}."},
        "help": {"text": f"{rule.remedy}."},
        "defaultConfiguration": {"level": _LEVELS[rule.level]},
    }


def _suppressed(located: Located) -> dict[str, object]:
    suppression = {"kind": "inSource", **({"justification": located.excuse} if located.excuse else {})}
    return {**_result(located), "suppressions": [suppression]}


def _result(located: Located) -> dict[str, object]:
    finding = located.finding
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": _RULES.index(finding.rule),
        "level": _LEVELS[finding.level],
        "message": {"text": printable(f"{finding.about}: {finding.message}. {finding.remedy}.")},
        "locations": [_location(located)],
        "partialFingerprints": {
            "objectAndField/v1": _fingerprint((str(finding.about), finding.field, finding.message))
        },
    }


def _location(located: Located) -> dict[str, object]:
    finding = located.finding
    name = printable(f"{finding.about}: {finding.field}" if finding.field else str(finding.about))
    logical: dict[str, object] = {"logicalLocations": [{"fullyQualifiedName": name, "kind": "object"}]}
    if not located.file:
        return logical
    region = {"startLine": located.position.line, "startColumn": located.position.column}
    return {"physicalLocation": {"artifactLocation": artifact(located.file), "region": region}, **logical}


def artifact(file: str) -> dict[str, str]:
    """A file as URI: from the root of the sources, or of the machine."""
    path = PurePath(file)
    uri = quote(path.as_posix())
    return {"uri": f"file://{uri}"} if path.is_absolute() else {"uri": uri, "uriBaseId": _ROOT}


def _fingerprint(parts: Iterable[str]) -> str:
    """The same for a finding wherever it moves in its file."""
    return hashlib.sha256("\0".join(parts).encode(errors="backslashreplace")).hexdigest()[:32]
