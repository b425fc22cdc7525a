"""An outside author's afternoon: from an empty folder to a plugin that the lab uses, with built wheels alone."""

import json
import re
import shlex
from pathlib import Path

import pytest
from attrs import frozen

from tests.packages.conftest import ROOT, Environment

pytestmark = pytest.mark.full  # each fills an environment of its own

ANSWER = Path(__file__).parent / "slate"
TOOLS = ("pytest", "hatchling")


@frozen
class Author:
    """An author with an environment and a folder."""

    environment: Environment
    folder: Path

    def run(self, program, *arguments, status=0, **variables):
        """Run a program of the environment in the folder; return its standard output."""
        done = self.environment.shell(shlex.join([program, *map(str, arguments)]), folder=self.folder, **variables)
        assert done.returncode == status, done.stdout[-5000:] + done.stderr[-5000:]
        return done.stdout

    def begin(self, name):
        """`mnp plugin new`, and go on in the new folder."""
        self.run("mnp", "plugin", "new", name)
        return Author(self.environment, self.folder / f"mnp-{name}")

    def install(self):
        """Build the wheel, and install it."""
        self.run("python", "-m", "hatchling", "build", "-t", "wheel")
        [wheel] = self.folder.glob("dist/*.whl")
        self.environment.install(wheel, links=wheel.parent)

    def plugins(self):
        found = json.loads(self.run("mnp", "plugins", "--output", "json"))["plugins"]
        return {plugin["name"]: (plugin["state"], plugin["detail"]) for plugin in found}


@pytest.fixture
def author(environment, dist, tmp_path):
    """The core with the kit and a tool to build with are installed; nothing else of ours is."""
    environment.install("mnp-core[testing]", links=dist)
    environment.lend(*TOOLS)
    folder = tmp_path / "empty"
    folder.mkdir()
    return Author(environment, folder)


def test_a_new_plugin_has_tests_that_pass_at_once_and_is_listed(author):
    mine = author.begin("my-cable")
    mine.install()
    report = mine.run("python", "-m", "pytest", "-p", "no:cacheprovider", "-W", "error")
    assert "TestDiscoverer: 10 standard tests: " in report
    assert "failed" not in report
    assert mine.plugins()["my-cable"] == ("loaded", "")


@pytest.mark.root
def test_a_backend_for_an_invented_dialect_is_written_tested_installed_and_used_by_the_lab(author, dist, tmp_path):
    mine, slates = author.begin("slate"), tmp_path / "slates"
    package = mine.folder / "mnp_slate"
    (package / "discoverer.py").unlink()
    for source, target in {
        "package.py": package / "__init__.py",
        "backend.py": package / "backend.py",
        "checks.py": mine.folder / "tests" / "test_conformance.py",
    }.items():
        target.write_text((ANSWER / source).read_text())
    mine.install()
    report = mine.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error")
    assert re.search(r"TestSlate: \d+ standard tests: \d+ passed, 4 skipped\n", report)
    assert re.findall(r"skipped: 1 case: it is no (\w+)", report) == ["RuleWatcher", "TwoPhaseApplier"]
    assert mine.plugins()["slate"] == ("loaded", "")

    mine.environment.install("mnp-macvlan", links=dist)
    quickstart = ROOT / "examples" / "quickstart"
    rendered = mine.run("mnp", "render", quickstart, "--backend", "slate")
    assert '"digest"' in rendered
    arguments = ("lab", "run", quickstart, "--backend", "slate", "--output", "json")
    probes = json.loads(mine.run("mnp", *arguments, SLATES=str(slates)))["probes"]
    assert {probe["verdict"] for probe in probes} == {"allowed"}, "the kernel reads no slates"
    written = [json.loads(path.read_text())["interfaces"] for path in slates.glob("*.rules")]
    assert len(written) == 3
    assert sum("Ingress" in directions for interfaces in written for directions in interfaces.values()) == 1
