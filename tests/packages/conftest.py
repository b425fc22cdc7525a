"""The project's distributions, built, and environments that start empty."""

import importlib.util
import os
import subprocess
import sys
import venv
from email import message_from_bytes
from email.message import Message
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from attrs import frozen
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
TIME = "1700000000"  # SOURCE_DATE_EPOCH


def build(target: Path) -> Path:
    """The output of `make dist`."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": TIME}
    subprocess.run([sys.executable, ROOT / "scripts" / "dist", target], check=True, env=environment, timeout=120)
    return target


@pytest.fixture(scope="session")
def dist(tmp_path_factory):
    return build(tmp_path_factory.mktemp("dist"))


@frozen
class Wheel:
    """One wheel: names of its files, and its metadata."""

    path: Path
    files: frozenset[str]
    metadata: Message

    @classmethod
    def read(cls, path: Path) -> "Wheel":
        with ZipFile(path) as archive:
            files = frozenset(archive.namelist())
            [metadata] = [name for name in files if name.endswith(".dist-info/METADATA")]
            return cls(path, files, message_from_bytes(archive.read(metadata)))


@pytest.fixture(scope="session")
def wheels(dist):
    """By name of the distribution."""
    found = map(Wheel.read, sorted(dist.glob("*.whl")))
    return {wheel.metadata["Name"]: wheel for wheel in found}


@frozen
class Environment:
    """A virtual environment of its own."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def lend(self, *names: str) -> None:
        """Put distributions and all that they need there, as links to where these tests have them; nothing of ours."""
        [site] = self.folder.glob("lib/python*/site-packages")
        for name in set().union(*map(dependencies, names)):
            if name.startswith("mnp-"):
                continue
            for top in {file.parts[0] for file in distribution(name).files or () if file.parts[0] != ".."}:
                if not (site / top).exists():
                    (site / top).symlink_to(distribution(name).locate_file(top))

    def install(self, *what: object, links: Path) -> None:
        """From files alone: nothing is downloaded. Dependencies of our distributions are links."""
        self.lend(*(str(name) for name in what if str(name).startswith("mnp-")))
        self._pip("install", "--quiet", "--no-index", "--find-links", links, *what)

    def uninstall(self, *what: str) -> None:
        self._pip("uninstall", *(() if _has_no_pip() else ("--yes",)), "--quiet", *what)

    def _pip(self, command: str, *arguments: object) -> None:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self.python, command]
        if _has_no_pip():
            pip = ["uv", "pip", command, "--python", self.python]
        subprocess.run([*pip, *arguments], check=True, timeout=120)

    def run(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, which sees no other Python path."""
        command = [self.folder / "bin" / program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=_outside(), timeout=60, check=False)

    def shell(self, script: str, *, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command line in a folder, with the environment activated."""
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        pip = {
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # no isolation: as a variable pip takes it the other way round
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
        }
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            capture_output=True,
            text=True,
            cwd=folder,
            env=_outside() | {"PATH": path} | pip | variables,
            timeout=280,
            check=False,
        )


def _outside() -> dict[str, str]:
    """The environment of programs outside of these tests."""
    inside = ("PYTHON", "PYTEST", "MNP_", "VIRTUAL_ENV")
    return {name: text for name, text in os.environ.items() if not name.startswith(inside)}


def _has_no_pip() -> bool:
    """As in environments made by uv."""
    return not importlib.util.find_spec("pip")


def make_environment(folder: Path) -> Environment:
    """An environment with the core's dependencies, as links to those of these tests, and nothing of ours."""
    venv.create(folder, symlinks=True)
    environment = Environment(folder)
    environment.lend("mnp-core")
    return environment


@pytest.fixture
def with_pip(environment):
    """The same with `pip` and the build backend, without an index."""
    subprocess.run(
        [environment.python, "-m", "ensurepip", "--default-pip"], check=True, capture_output=True, timeout=120
    )
    environment.lend("hatchling")
    return environment


@pytest.fixture
def environment(tmp_path):
    """An environment that the test may change."""
    return make_environment(tmp_path / "venv")


def dependencies(name: str) -> set[str]:
    """A distribution with all that it needs."""
    found: set[tuple[str, str]] = set()
    asked = Requirement(name)
    waiting = [(asked.name, extra) for extra in ("", *asked.extras)]
    while waiting:
        if (wanted := waiting.pop()) not in found:
            found.add(wanted)
            name, extra = wanted
            for each in map(Requirement, distribution(name).requires or ()):
                if not each.marker or each.marker.evaluate({"extra": extra}):
                    waiting += [(each.name, further) for further in ("", *each.extras)]
    return {name for name, _ in found}
