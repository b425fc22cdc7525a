"""Files and links of the README exist; tests/docs runs its commands."""

import re

from mnp_lab.cli import lab_group
from tests.docs.fences import DOCS, PAGES, ROOT

README = (ROOT / "README.md").read_text()


def test_make_knows_every_target_that_is_named():
    targets = set(re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "help"} <= set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets


def test_links_lead_somewhere():
    """Those between pages of docs/, `make docs` checks with their anchors."""
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
        if not leads_somewhere(page, target)
    ]
    assert broken == []


def leads_somewhere(page, target):
    if target.startswith("https://"):
        return True
    path, _, anchor = target.partition("#")
    there = page.parent / path if path else page
    return there.exists() and (not anchor or DOCS in page.parents or anchor in anchors(there.read_text()))


def anchors(page):
    """As they are made of headings: lower case, words with hyphens."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_that_lead_nowhere_are_found():
    readme = ROOT / "README.md"
    assert leads_somewhere(readme, "docs/lab.md#expectations")
    assert leads_somewhere(readme, "#status")
    assert not any(leads_somewhere(readme, target) for target in ("docs/no.md", "docs/lab.md#no", "#no", "plugins/no"))


def test_the_lab_page_knows_every_command_and_setting():
    page = (ROOT / "docs" / "lab.md").read_text()
    settings = re.findall(r'values\.\w+\("([a-z-]+)"', (ROOT / "mnp_core" / "settings" / "_settings.py").read_text())
    assert "deny-action" in settings
    assert [name for name in settings if f"`{name}`" not in page] == []
    assert [name for name in lab_group.commands if f"`mnp lab {name}" not in page] == []
