"""Changelog fragments have a form, so that a release can put them together without thinking."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRAGMENTS = sorted(path for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md")
DISTRIBUTIONS = {
    tomllib.loads(path.read_text())["project"]["name"]
    for path in (ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml"))
}


def faults(name, text):
    """The mistakes of a fragment."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*\.(added|changed|fixed)\.md", name):
        yield "call it SLUG.added.md, SLUG.changed.md or SLUG.fixed.md"
    distribution, _, entry = text.partition(": ")
    if distribution not in DISTRIBUTIONS | {"all"}:
        yield f"start with the distribution and a colon, or all: there are {', '.join(sorted(DISTRIBUTIONS))}"
    if not entry.rstrip().endswith("."):
        yield "end with a full stop"
    if len([line for line in text.split("\n\n") if line.strip()]) != 1 or text.lstrip().startswith(("#", "-", "*")):
        yield "write one paragraph: no heading, no list"


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda path: path.name)
def test_fragment_has_the_form_that_the_readme_describes(fragment):
    assert list(faults(fragment.name, fragment.read_text())) == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("Probe.added.md", "mnp-core: Something.", "SLUG"),
        ("probe.new.md", "mnp-core: Something.", "SLUG"),
        ("probe.added.md", "Something is new.", "distribution"),
        ("probe.added.md", "mnp-nothing: Something.", "distribution"),
        ("probe.added.md", "mnp-core: Something", "full stop"),
        ("probe.added.md", "mnp-core: One.\n\nmnp-core: Two.", "one paragraph"),
    ],
)
def test_other_forms_are_found(name, text, says):
    assert any(says in fault for fault in faults(name, text))


def test_the_changelog_has_the_version_in_the_making():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version.startswith(headings[0] + ".") or version == headings[0]
