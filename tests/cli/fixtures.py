"""Runs `mnp` in this process, as `main` does, and as a program of its own where that matters."""

import json
from pathlib import Path
from textwrap import dedent

import pytest
from attrs import frozen

from mnp_core.cli.app import make_app
from mnp_core.cli.entrypoint import run_command
from mnp_core.plugins import load_plugins


@frozen
class Ended:
    """The result of a command."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def registry():
    return load_plugins()


@pytest.fixture
def mnp(registry, capfd, monkeypatch):
    """`mnp("validate", path)`: output is caught where programs write it, also that of children."""
    monkeypatch.delenv("MNP_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        capfd.readouterr()
        status = run_command(lambda: make_app(registry), [str(argument) for argument in arguments])
        return Ended(status, *capfd.readouterr())

    return run


@pytest.fixture
def write(tmp_path):
    """Writes a file into a folder of the test's own."""

    def write_file(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    return write_file


@pytest.fixture(scope="session")
def examples():
    return Path(__file__).parents[2] / "examples"


@pytest.fixture
def ask(mnp, tmp_path):
    """`ask("validate", objects)`: a command about objects, decoded."""

    def run(command, objects, *arguments, status=None):
        path = tmp_path / "objects.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        ended = mnp(command, path, *arguments, "--output", "json")
        assert ended.status in ({0, 1} if status is None else {status}), ended.err
        assert "Traceback" not in ended.err
        return json.loads(ended.out)

    return run


@pytest.fixture
def verdict(ask):
    """Of tcp:80 from b to a."""

    def of(objects, *arguments):
        (found,) = ask("explain", objects, "--from", "demo/b", "--to", "demo/a", *arguments)["explanations"]
        return found["verdict"]

    return of


@pytest.fixture
def problems(ask):
    """The reports of `validate`, as kind of object and reason."""

    def of(objects, severity="problem"):
        reports = ask("validate", objects)["reports"]
        return {(r["kind"], r["reason"]) for r in reports if r["severity"] == severity}

    return of
