"""The page of questions: each word leads to the file that answers."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "questions.md"
ROW = re.compile(r"^\| (?P<question>.+\?) \| `(?P<word>[\w]+)` \| (?P<answer>.+) \|$", re.MULTILINE)
SOURCES = {
    path: path.read_text().lower() for folder in ("mnp_core", "plugins") for path in (ROOT / folder).rglob("*.py")
}
PRODUCT = {path: text for path, text in SOURCES.items() if not {"tests", "testing"} & {*path.relative_to(ROOT).parts}}
ROWS = [pytest.param(row["word"], row["answer"], id=row["question"]) for row in ROW.finditer(PAGE.read_text())]


def test_there_are_twenty_questions():
    assert len(ROWS) >= 20
    assert len(ROWS) == sum(line.startswith("| ") and "?" in line for line in PAGE.read_text().splitlines())


@pytest.mark.parametrize(("word", "answer"), ROWS)
def test_the_file_that_answers_is_among_the_three_with_most_hits(word, answer):
    lines = {path: sum(word in line for line in text.splitlines()) for path, text in PRODUCT.items()}
    most = sorted(lines.values(), reverse=True)[:3]
    named = [ROOT / name for name in re.findall(r"`([\w/]+\.py)`", answer)]
    assert named
    assert all(path.exists() for path in named)
    assert any(lines[path] >= max(1, most[-1]) for path in named), sorted(lines, key=lines.__getitem__)[-3:]
