"""docs/lint.md: its table is that of the rules. MNP_UPDATE_GOLDEN=1 writes it anew."""

import os

from mnp_core.model import Reason
from mnp_core.policy.lint import RULES
from mnp_core.policy.lint.rules import ON_NODES
from tests.docs.fences import DOCS

PAGE = DOCS / "lint.md"
HEAD = "| id | rule | level | meaning | remedy |\n|---|---|---|---|---|\n"


def table():
    return "".join(
        f"| `{rule.id}` | `{rule.name}` | {rule.level.value} | {rule.meaning} | {rule.remedy} |\n"
        for rule in sorted(RULES.values(), key=lambda rule: rule.id)
    )


def test_the_table_is_that_of_the_rules():
    before, head, rest = PAGE.read_text().partition(HEAD)
    assert head
    written = "".join(line for line in rest.splitlines(keepends=True)[: rest.split("\n\n")[0].count("\n") + 1])
    written = written if written.startswith("|") else ""
    if os.environ.get("MNP_UPDATE_GOLDEN"):
        PAGE.write_text(before + head + table() + rest.removeprefix(written))
    else:
        assert written == table()


def test_every_reason_is_a_rule_or_one_of_nodes():
    names = {rule.name for rule in RULES.values()}
    assert {reason.value for reason in Reason} - names == {reason.value for reason in ON_NODES}
    assert names.isdisjoint(reason.value for reason in ON_NODES)
