"""What the README names is there; what it shows is run by tests/docs."""

import re

from mnp_core.cli.lab import lab_group
from tests.docs.fences import PAGES, ROOT

README = (ROOT / "README.md").read_text()


def test_make_knows_every_target_that_is_named():
    targets = set(re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "help"} <= set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page}: {target}"


def test_the_lab_page_knows_every_command_and_setting():
    page = (ROOT / "docs" / "lab.md").read_text()
    settings = re.findall(r'values\.\w+\("([a-z-]+)"', (ROOT / "mnp_core" / "settings" / "_settings.py").read_text())
    assert "deny-action" in settings
    assert [name for name in settings if f"`{name}`" not in page] == []
    assert [name for name in lab_group.commands if f"`mnp lab {name}" not in page] == []
