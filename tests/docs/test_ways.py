"""The ways through the code in docs/architecture.md: each `file:function` exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
STEPS = sorted(set(re.findall(r"`([\w/]+\.py):([\w.]+)`", PAGE)))
WAYS = ("One policy", "One pod", "One membership change", "One drift", "One failure")


def definitions(file):
    """Qualified names of the classes and functions of a module."""
    tree = ast.parse(file.read_text())
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef))


@pytest.mark.parametrize(("file", "function"), STEPS, ids=map(":".join, STEPS))
def test_each_step_is_a_function_of_that_file(file, function):
    path = ROOT / file if file.startswith("plugins/") else ROOT / "mnp_core" / file
    assert function in definitions(path), f"docs/architecture.md names {file}:{function}"


@pytest.mark.parametrize("way", WAYS)
def test_each_way_has_steps(way):
    section = re.split(r"^##+ ", PAGE.split(f"### {way}\n")[1], flags=re.MULTILINE)[0]
    steps = re.findall(r"^\d+\. ", section, flags=re.MULTILINE)
    assert len(steps) >= 5
    assert len(re.findall(r"`[\w/]+\.py:[\w.]+`", section)) >= len(steps)
