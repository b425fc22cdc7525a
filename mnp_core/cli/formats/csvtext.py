"""Answers as CSV: a line for each, with the policies and rules that decide."""

import csv
from collections.abc import Iterable
from io import StringIO

from mnp_core.cli.formats.printing import printable
from mnp_core.model import Address
from mnp_core.offline.reach import Answer
from mnp_core.policy.explain import Side

COLUMNS = (
    *("from", "to", "network", "interface", "address", "protocol", "port", "verdict"),
    *("egress", "egress-policies", "egress-rule", "ingress", "ingress-policies", "ingress-rule"),
    *("would-deny", "egress-audit-policies", "ingress-audit-policies"),
)
_FORMULA = ("=", "+", "-", "@")
"""First characters of formulas, for spreadsheets (CWE-1236)."""


def csv_text(answers: Iterable[Answer], unknown: frozenset[Address] = frozenset()) -> str:
    """All answers, under a line of headings."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for answer in answers:
        known = answer.as_json(unknown)
        sides = (answer.way.source, answer.way.destination)
        row = [*(known[column] for column in COLUMNS[:8]), *_side(sides[0]), *_side(sides[1])]
        row += ["yes" if answer.way.would_deny else "no", *(" ".join(map(str, side.verdict.audits)) for side in sides)]
        writer.writerow(["" if value is None else _cell(str(value)) for value in row])
    return out.getvalue()


def _side(side: Side) -> tuple[str, str, str]:
    verdict = side.verdict
    rule = str(verdict.origin) if verdict.origin else (verdict.setting or "")
    return side.standing.value, " ".join(map(str, verdict.policies)), rule


def _cell(text: str) -> str:
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
