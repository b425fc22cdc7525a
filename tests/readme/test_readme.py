"""What the README shows is what happens."""

import re
import shlex
from pathlib import Path

import pytest

from mnp_core.cli.lab import lab_group
from tests.docs.fences import fences, lines

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
FENCES = fences(ROOT / "README.md")
COMMANDS = [command for fence in FENCES if fence.language == "sh" for command in fence.commands]
OUTPUTS = [fence.text for fence in FENCES if fence.language == "text"]

SET_UP = (". .venv/bin/activate", "pip install ")  # what tests/readme/test_setup.py and the run itself show


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.root
@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith(SET_UP)])
def test_every_command_does_what_it_is_there_for(mnp, command):
    program, *arguments = shlex.split(command)
    assert program == "mnp"
    ended = mnp(*arguments)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out


@pytest.mark.root
def test_the_demo_prints_what_is_shown(mnp):
    assert lines(mnp("lab", "run", "examples/quickstart").out) == lines(OUTPUTS[0])


@pytest.mark.root
def test_the_policy_test_prints_what_is_shown(mnp):
    assert lines(mnp("lab", "test", "examples/quickstart").out) == lines(OUTPUTS[1])


def test_make_knows_every_target_that_is_named():
    targets = set(re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "help"} <= set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets


def test_links_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page}: {target}"


def test_the_lab_page_knows_every_command_and_setting():
    page = (ROOT / "docs" / "lab.md").read_text()
    settings = re.findall(r'values\.\w+\("([a-z-]+)"', (ROOT / "mnp_core" / "settings" / "_settings.py").read_text())
    assert "deny-action" in settings
    assert [name for name in settings if f"`{name}`" not in page] == []
    assert [name for name in lab_group.commands if f"`mnp lab {name}" not in page] == []
