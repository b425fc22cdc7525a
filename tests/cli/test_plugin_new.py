"""`mnp plugin new`: what it makes, and what it refuses. What can be done with it: `tests/packages/test_outside.py`."""

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


def test_nothing_is_left_to_fill_in(tmp_path):
    new("cable", "--directory", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "$" in path.read_text()] == []


@pytest.mark.parametrize(
    "name", ["", "My", "a_b", "1a", "a--b", "-a", "a-", "core", "mnp-core", "../a", "a/b", "é", "a" * 41]
)
def test_a_name_that_cannot_be_one_is_refused_with_what_would_be(tmp_path, name):
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
