"""The published distributions: each holds its own and all of it, and can be installed alone and with the others."""

import json
import tomllib
from pathlib import Path

import pytest
from hatchling.build import build_wheel
from packaging.requirements import Requirement

import mnp_core
from mnp_core.cli import plugins as plugins_command
from mnp_core.plugins._catalog import BACKEND_DISTRIBUTIONS
from tests.packages.conftest import ROOT, build, dependencies
from tests.packages.test_manpages import MAN

PROJECTS = {
    project["name"]: (path.parent, project)
    for path in (ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml")))
    for project in [tomllib.loads(path.read_text())["project"]]
}
PLUGINS = [name for name in PROJECTS if name != "mnp-core"]
COMPILED = {f"mnp_cnigate/bin/mnp-cnigate-{machine}" for machine in ("x86_64", "aarch64")}
OFFERED = [name for name in PLUGINS if name != "mnp-example"]  # the documentation's, which enforces nothing of use


def package(name: str) -> str:
    return name.replace("-", "_")


def found_by(environment):
    """`mnp plugins`, name of the plugin to its row."""
    ended = environment.run("mnp", "plugins", "--output", "json")
    assert ended.returncode == 0, ended.stderr
    return {plugin["name"]: plugin for plugin in json.loads(ended.stdout)["plugins"]}


def test_every_project_is_built_as_sdist_and_wheel(dist):
    built = sorted(path.name for path in dist.iterdir())
    versions = {package(name): project["version"] for name, (_, project) in PROJECTS.items()}
    files = ("{0}-{1}.tar.gz", "{0}-{1}-py3-none-any.whl")
    assert built == sorted(file.format(*item) for item in versions.items() for file in files)


@pytest.mark.parametrize("name", PROJECTS)
def test_wheel_holds_its_package_and_nothing_else(name, wheels):
    own = package(name)
    sources = {
        str(path.relative_to(PROJECTS[name][0]))
        for path in (PROJECTS[name][0] / own).rglob("*")
        if path.is_file() and not {"__pycache__", "bin"} & {*path.parts}
    }
    added = COMPILED | {file for file in wheels[name].files if MAN in file}
    held = {file for file in wheels[name].files if ".dist-info/" not in file and file not in added}
    assert f"{own}/py.typed" in held
    assert held == sources


@pytest.mark.parametrize("name", PROJECTS)
def test_metadata_is_complete(name, wheels):
    metadata = wheels[name].metadata
    assert metadata["Version"] == PROJECTS[name][1]["version"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert any(file.endswith(".dist-info/licenses/LICENSE") for file in wheels[name].files)
    assert metadata["Summary"].startswith("Kubernetes network policy on ")
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert len(metadata.get_payload().splitlines()) > 2, "the README says nothing"
    classifiers = metadata.get_all("Classifier")
    assert {"Typing :: Typed", "Operating System :: POSIX :: Linux"} <= {*classifiers}
    assert metadata.get_all("Project-URL") is None, "there is no public address yet, and none is invented"


def test_versions_agree(wheels):
    assert wheels["mnp-core"].metadata["Version"] == mnp_core.__version__
    for name in PLUGINS:
        [core] = [each for each in map(Requirement, PROJECTS[name][1]["dependencies"]) if each.name == "mnp-core"]
        assert mnp_core.__version__ in core.specifier
        assert "<" in str(core.specifier), "a plugin says up to which core it works"


@pytest.mark.full
def test_the_same_sources_give_the_same_bytes(dist, tmp_path):
    again = build(tmp_path / "again")
    assert {path.name: path.read_bytes() for path in dist.iterdir()} == {
        path.name: path.read_bytes() for path in again.iterdir()
    }


@pytest.mark.full
def test_core_alone_works_and_names_possible_additions(environment, dist):
    environment.install("mnp-core", links=dist)
    assert list(found_by(environment)) == ["core"]
    listing = environment.run("mnp", "plugins").stdout
    assert [name for name in OFFERED if name not in listing] == []
    assert "pip install" in listing
    rendering = environment.run("mnp", "render", ROOT / "examples" / "quickstart")
    assert rendering.returncode == 2
    assert "no backend is installed: pip install one, for example mnp-nftables" in rendering.stderr
    validation = environment.run("mnp", "validate", ROOT / "examples" / "quickstart")
    assert "its CNI type is macvlan, enforced are none" in " ".join(validation.stdout.split())
    lab = environment.run("mnp", "lab", "run", ROOT / "examples" / "quickstart")
    assert lab.returncode == 2
    assert "The command 'lab' comes with mnp-lab: pip install mnp-lab" in lab.stderr
    assert "Traceback" not in rendering.stderr + validation.stderr + lab.stderr


@pytest.mark.full
@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_alone_pulls_the_core_in_and_is_loaded(name, environment, dist):
    environment.install(name, links=dist)
    [own] = [plugin for plugin in found_by(environment).values() if plugin["distribution"] == name]
    assert (own["state"], own["detail"]) == ("loaded", "")
    assert own["provides"]


@pytest.mark.full
def test_all_plugins_load_and_render(environment, dist):
    environment.install(*PROJECTS, links=dist)
    assert {plugin["state"] for plugin in found_by(environment).values()} == {"loaded"}
    quickstart = ROOT / "examples" / "quickstart"
    rendering = environment.run("mnp", "render", quickstart, "--pod", "demo/web", "--backend", "nftables")
    assert (rendering.returncode, rendering.stderr) == (0, "")
    assert "MultiNetworkPolicy demo/web-allow-client ingress[0]" in rendering.stdout


def test_the_core_needs_neither_the_lab_nor_the_kit_nor_a_client_library():
    """They would lie beside CAP_SYS_ADMIN on every node."""
    needed = dependencies("mnp-core")
    absent = {
        "kubernetes",
        "aiohttp",
        "pydantic",
        "requests",
        "watchfiles",
        "pyroute2",
        "pytest",
        "hypothesis",
        "mnp-lab",
    }
    assert needed & absent == set()
    assert len(needed) <= 20
    assert "kubernetes" in dependencies("mnp-core[kubeconfig]")
    assert {"mnp-lab", "pyroute2", "pytest"} <= dependencies("mnp-core[testing]")


PLUGIN_OF_THE_FUTURE = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "mnp-future"
version = "2.0"
dependencies = ["mnp-core>=1,<2"]
[project.entry-points.mnp]
future = "mnp_future"
"""


@pytest.mark.full
def test_a_plugin_for_another_major_version_is_not_imported_and_names_the_remedy(
    environment, dist, tmp_path, monkeypatch
):
    project = tmp_path / "future"
    (project / "mnp_future").mkdir(parents=True)
    (project / "pyproject.toml").write_text(PLUGIN_OF_THE_FUTURE)
    trace = tmp_path / "imported"
    (project / "mnp_future" / "__init__.py").write_text(f"open({str(trace)!r}, 'w').close()\n")
    monkeypatch.chdir(project)
    wheel = Path(build_wheel(str(tmp_path))).name
    environment.install("mnp-core", links=dist)
    environment.install("--no-deps", tmp_path / wheel, links=dist)
    future = found_by(environment)["future"]
    assert future["state"] == "skipped"
    assert "mnp-core<2,>=1" in future["detail"]
    assert mnp_core.__version__ in future["detail"]
    assert not trace.exists()


def test_the_core_knows_every_plugin_of_this_repository_by_name():
    described = {name: PROJECTS[name][1]["description"].rpartition(": ")[2] for name in OFFERED}
    assert described == plugins_command._OURS


@pytest.mark.full
def test_the_core_knows_where_every_backend_of_this_repository_comes_from(environment, dist):
    environment.install(*OFFERED, links=dist)
    homes = {
        provided.split()[1].rstrip(","): row["distribution"]
        for row in found_by(environment).values()
        for provided in row["provides"]
        if provided.startswith(("renderer ", "applier "))
    }
    assert homes == BACKEND_DISTRIBUTIONS
