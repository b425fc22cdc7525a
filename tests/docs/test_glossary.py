"""The glossary: each term once, with names that the code has."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "concepts.md").read_text().partition("## Glossary")[2]
ROWS = re.findall(r"^\| (?P<term>[a-z, ]+) \| (?P<meaning>.+) \| (?P<names>`.+`) \|$", TABLE, re.MULTILINE)
SOURCES = "\n".join(path.read_text() for path in (ROOT / "mnp_core").rglob("*.py"))


def test_every_row_is_read_and_every_term_is_there_once():
    terms = [term for term, _, _ in ROWS]
    assert len(terms) == TABLE.count("\n|") - 2 >= 20
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("name", [name for _, _, names in ROWS for name in re.findall(r"`(\w+)`", names)])
def test_the_code_has_the_name(name):
    assert re.search(rf"^class {name}\b", SOURCES, re.MULTILINE)
