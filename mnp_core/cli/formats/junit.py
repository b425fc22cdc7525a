"""Findings as JUnit XML, for the test reports of CI systems: a suite for each file, a failed case for each finding."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree as ET

from mnp_core.cli.findings import Located, Result
from mnp_core.cli.formats.printing import printable
from mnp_core.policy.lint import Level

_WITHOUT_FILE = "objects"


def junit_text(result: Result, level: Level, files: Iterable[str]) -> str:
    """The document.

    Args:
        result: The findings.
        level: Findings below it are output of a passed case.
        files: The files that were read: one without a failed case has a passed one.
    """
    failures: dict[str, list[Located]] = defaultdict(list)
    remarks: dict[str, list[Located]] = defaultdict(list)
    for each in result.open:
        chosen = failures if each.finding.level.rank <= level.rank else remarks
        chosen[each.file or _WITHOUT_FILE].append(each)
    names = list(dict.fromkeys((*files, *failures, *remarks)))
    root = ET.Element("testsuites", {"name": "mnp validate", **_counts(failures, names)})
    for name in names:
        root.append(_suite(name, failures[name], remarks[name]))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _counts(failures: Mapping[str, list[Located]], names: Iterable[str]) -> dict[str, str]:
    tests = sum(len(failures[name]) or 1 for name in names)
    return {"tests": str(tests), "failures": str(sum(map(len, failures.values()))), "errors": "0"}


def _suite(name: str, failures: list[Located], remarks: list[Located]) -> ET.Element:
    suite = ET.Element("testsuite", {"name": _xml(name), **_counts({name: failures}, [name]), "skipped": "0"})
    for each in failures:
        finding = each.finding
        case = ET.SubElement(
            suite,
            "testcase",
            classname=_xml(name),
            name=_xml(f"{finding.about}: {finding.rule.name} {finding.field}".rstrip()),
            file=_xml(name),
            line=str(each.position.line),
        )
        failure = ET.SubElement(case, "failure", type=finding.rule.id, message=_xml(finding.message))
        failure.text = _words(each)
    if not failures:
        case = ET.SubElement(suite, "testcase", classname=_xml(name), name="mnp validate", file=_xml(name))
        if remarks:
            ET.SubElement(case, "system-out").text = "\n".join(map(_words, remarks))
    return suite


def _words(located: Located) -> str:
    finding = located.finding
    place = f"{located.file}:{located.position.line}:{located.position.column}: " if located.file else ""
    return printable(
        f"{place}{finding.level.value}: {finding.about}: {finding.field}: {finding.message}. {finding.remedy}."
        f" [{finding.rule.name}, {finding.rule.id}]"
    )


def _xml(text: str) -> str:
    """Text of characters that XML has; others are escaped as in Python."""
    return printable(text)
