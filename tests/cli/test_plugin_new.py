"""`mnp plugin new`: its output and its refusals. The plugin in use: `tests/packages/test_outside.py`."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.version import Version

import mnp_core
from mnp_core.cli.plugin.new import new_command
from mnp_core.errors import InputError


def new(*arguments):
    return CliRunner().invoke(new_command, list(map(str, arguments)), catch_exceptions=False)


@pytest.mark.parametrize("name", ["my-cable", "mnp-my-cable"])
def test_it_makes_a_distribution(tmp_path, name):
    assert new(name, "--directory", tmp_path).exit_code == 0
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    inside = ("__init__.py", "discoverer.py", "py.typed")
    expected = {
        "pyproject.toml",
        "README.md",
        "tests/test_conformance.py",
        *(f"mnp_my_cable/{name}" for name in inside),
    }
    assert made == {f"mnp-my-cable/{path}" for path in expected}
    project = tomllib.loads((tmp_path / "mnp-my-cable/pyproject.toml").read_text())["project"]
    assert (project["name"], project["entry-points"]) == ("mnp-my-cable", {"mnp": {"my-cable": "mnp_my_cable"}})
    [core] = map(Requirement, project["dependencies"])
    assert Version(mnp_core.__version__) in core.specifier
    assert Version(f"{Version(mnp_core.__version__).major + 1}.0") not in core.specifier


MODULES = {
    "attachment": ["__init__.py", "discoverer.py"],
    "backend": ["__init__.py", "applier.py", "renderer.py"],
    "locator": ["__init__.py", "locator.py"],
    "policy-kind": ["__init__.py", "policy.py"],
    "command": ["__init__.py", "command.py"],
}


@pytest.mark.root
@pytest.mark.parametrize("kind", sorted(set(MODULES) - {"backend"}))
def test_each_kind_can_be_loaded_and_has_tests_that_pass_at_once(tmp_path, kind):
    new("my-cable", "--kind", kind, "--directory", tmp_path)
    folder = tmp_path / "mnp-my-cable"
    assert sorted(path.name for path in (folder / "mnp_my_cable").glob("*.py")) == MODULES[kind]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_a_new_backend_is_that_of_the_example_which_passes_the_kit(tmp_path):
    new("example", "--kind", "backend", "--directory", tmp_path)
    made, example = tmp_path / "mnp-example" / "mnp_example", Path(__file__).parents[2] / "plugins/example/mnp_example"
    for module in ("applier.py", "renderer.py"):
        expected = (example / module).read_text()
        for ours, theirs in (
            ("ExampleApplier", "Applier"),
            ("ExampleRenderer", "Renderer"),
            ("too many rules for an example", "not written yet"),
        ):
            expected = expected.replace(ours, theirs)
        assert (made / module).read_text() == expected
    tests = (made.parent / "tests" / "test_conformance.py").read_text()
    assert "class TestBackend(BackendConformance)" in tests


@pytest.mark.parametrize("kind", MODULES)
def test_nothing_is_left_to_fill_in(tmp_path, kind):
    new("cable", "--kind", kind, "--directory", tmp_path)
    left = [path for path in tmp_path.rglob("*") if path.is_file() and re.search(r"\$[a-z{]", path.read_text())]
    assert left == []


@pytest.mark.parametrize(
    "name", ["", "My", "a_b", "1a", "a--b", "-a", "a-", "core", "mnp-core", "../a", "a/b", "é", "a" * 41]
)
def test_an_impossible_name_is_refused_with_a_possible_one(tmp_path, name):
    with pytest.raises(InputError, match="not a name for a plugin: up to 40 lower case letters"):
        new("--directory", tmp_path, "--", name)
    assert [*tmp_path.iterdir()] == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mnp-cable").mkdir()
    kept = tmp_path / "mnp-cable" / "mine"
    kept.write_text("work of a week")
    with pytest.raises(InputError, match="is there already, and not empty"):
        new("cable", "--directory", tmp_path)
    assert [*kept.parent.iterdir()] == [kept]


def test_a_place_that_cannot_be_written_to_is_said():
    with pytest.raises(InputError, match="cannot be written"):
        new("cable", "--directory", Path("/proc/self"))
