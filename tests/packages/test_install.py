"""The pages' pip commands, run unchanged in a checkout and a clean environment."""

import json
import shutil

import pytest

from tests.docs.fences import PAGES, TUTORIAL, fences
from tests.packages.conftest import ROOT

pytestmark = pytest.mark.full  # each fills an environment of its own

BLOCKS = [
    fence
    for page in PAGES
    if page != TUTORIAL
    for fence in fences(page)
    if fence.is_commands and any(command.startswith("pip install") for command in fence.commands)
]


@pytest.fixture
def checkout(dist, tmp_path):
    """The files needed for a build, and the output of `make dist`."""
    folder = tmp_path / "checkout"
    for name in ("mnp_core", "plugins"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(dist, folder / "dist")
    return folder


@pytest.mark.parametrize("fence", BLOCKS, ids=str)
def test_install_commands_of_pages_work(fence, with_pip, checkout):
    asked = {
        word.rpartition("/")[2].removeprefix("mnp-")
        for command in fence.commands
        for word in command.split()
        if "mnp-" in word or "/" in word
    }
    extra = ["kubernetes"] if any("[kubeconfig]" in command for command in fence.commands) else []
    with_pip.lend(*extra, *(f"mnp-{name}" for name in asked))
    typed = [command for command in fence.commands if command != "make dist"]  # done, see above
    done = with_pip.shell("\n".join(typed), folder=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(with_pip.run("mnp", "plugins", "--output", "json").stdout)["plugins"]
    assert {"core", *asked} == {plugin["name"] for plugin in found}
    assert {plugin["state"] for plugin in found} == {"loaded"}


def test_the_pages_say_how_to_install_from_a_checkout_and_from_wheels():
    told = " ".join(command for fence in BLOCKS for command in fence.commands)
    assert "pip install . ./plugins/lab ./plugins/nftables" in told
    assert "--find-links dist" in told
