"""A plugin has to be entered in several lists; one that is forgotten would be neither checked nor installed."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))

each_plugin = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


@pytest.fixture
def distribution(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]["name"]


@each_plugin
def test_uv_sync_installs_it(distribution):
    assert distribution in HOUSE["dependency-groups"]["plugins"]
    assert "plugins" in HOUSE["tool"]["uv"]["default-groups"]
    assert HOUSE["tool"]["uv"]["sources"][distribution] == {"workspace": True}


@each_plugin
def test_its_layers_are_checked(distribution):
    package = distribution.replace("-", "_")
    rules = HOUSE["tool"]["importlinter"]
    public, apart = (
        next(contract for contract in rules["contracts"] if contract["name"].startswith(start))
        for start in ("Plugins see what is public", "Plugins do not know each other")
    )
    assert package in rules["root_packages"]
    assert package in public["source_modules"] or package == "mnp_lab", "the lab builds on the agent and the commands"
    assert package in apart["modules"]


@each_plugin
def test_ruff_and_mypy_know_where_its_modules_lie(folder):
    assert f"plugins/{folder.name}" in HOUSE["tool"]["ruff"]["src"]
    assert f"plugins/{folder.name}" in str(HOUSE["tool"]["mypy"]["mypy_path"])


@each_plugin
def test_the_readme_names_it(distribution, folder):
    assert f"| [`{distribution}`](plugins/{folder.name}) |" in (ROOT / "README.md").read_text()


@each_plugin
def test_it_holds_the_files_of_a_wheel(folder):
    assert all((folder / name).is_file() for name in ("README.md", "LICENSE"))
