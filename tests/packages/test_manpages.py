"""Man pages: in the wheels, one for each command, made of its help, the same from the same sources."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import click
import pytest

from mnp_core.cli.app import core_app
from mnp_core.cli.fleet.app import make_app as make_fleet_app
from mnp_core.cli.manpage import escaped, main, page, pages
from mnp_lab.cli import lab_group
from tests.packages.conftest import ROOT, TIME, Wheel

MAN = ".data/data/share/man/man1/"
OWN = {
    "mnp-core": ["mnp_core.cli.manpage"],
    "mnp-lab": ["mnp_core.cli.manpage", "mnp_lab.cli:lab_group", "mnp lab"],
}
"""Distributions that bring pages, and how they are written."""
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """All pages, by distribution and file."""
    found = {}
    for name, (module, *arguments) in OWN.items():
        folder = tmp_path_factory.mktemp("man")
        command = [sys.executable, "-m", module, folder, *arguments]
        subprocess.run(command, check=True, env=os.environ | {"SOURCE_DATE_EPOCH": TIME})
        found[name] = {path.name: path.read_bytes() for path in folder.iterdir()}
    return found


def names(command, path):
    yield "-".join(path) + ".1"
    for name, child in (command.commands if isinstance(command, click.Group) else {}).items():
        yield from names(child, (*path, name))


def test_there_is_one_for_each_command(written):
    programs = {*names(core_app(), ("mnp",)), *names(make_fleet_app(), ("kubectl", "mnp"))}
    assert {*written["mnp-core"]} == {*programs, "multi-network-policy-node.1"}
    assert {*written["mnp-lab"]} == {*names(lab_group, ("mnp", "lab"))}


@pytest.mark.full
@pytest.mark.parametrize("name", OWN)
def test_wheels_and_sdists_bring_them(name, wheels, dist, written):
    with ZipFile(wheels[name].path) as archive:
        held = {Path(file).name: archive.read(file) for file in archive.namelist() if MAN in file}
    assert held == written[name]
    [sdist] = dist.glob(f"{name.replace('-', '_')}-*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert {Path(file).name for file in archive.getnames() if "/man/" in file} == {*written[name]}


@pytest.mark.full
def test_no_other_wheel_brings_any(wheels):
    assert {name for name, wheel in wheels.items() if any(MAN in file for file in wheel.files)} == {*OWN}


def test_a_build_without_the_dependencies_goes_without_and_says_so(tmp_path):
    """As pip builds from a checkout: in an environment of its own."""
    (tmp_path / "click.py").write_text("raise ImportError('not here')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", BUILD, tmp_path]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "without man pages" in built.stdout + built.stderr
    assert "not here" in built.stdout + built.stderr
    wheel = Wheel.read(tmp_path / built.stdout.split()[-1])
    assert not any(MAN in file for file in wheel.files)
    assert "mnp_core/cli/manpage.py" in wheel.files


@pytest.mark.parametrize(
    "checker", [["groff", "-man", "-ww", "-z", "-Kutf8"], ["mandoc", "-Tlint", "-Wwarning"]], ids=["groff", "mandoc"]
)
def test_formatters_have_nothing_against_them(checker, written, tmp_path):
    if shutil.which(checker[0]) is None:
        pytest.skip(f"{checker[0]} is not installed")
    for each in written.values():
        for name, text in each.items():
            (tmp_path / name).write_bytes(text)
    ended = subprocess.run([*checker, *sorted(tmp_path.iterdir())], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_page_shows_options_examples_and_neighbours(written):
    text = written["mnp-core"]["mnp-diff.1"].decode()
    assert '.TH "MNP\\-DIFF" "1" "2023-11-14" "mnp ' in text
    for words in (
        r"\fB\-\-fail\-on [opened|closed|any]\fR",
        "    mnp diff old new",
        r"mnp\-diff \- Print the pairs that a change opens and closes",
        r"\fBmnp\fR(1)",
    ):
        assert words in text


@click.command("odd", short_help="Odd 'words'.", epilog="\b\nExamples:\n  # .hidden\n  odd '\\n' | -x")
@click.option("--level", help=r".first is a dot, `C:\x` a backslash")
def odd(level):
    r""".It begins with a dot.

    'quoted' and a backslash \fB, which is text.
    """


def test_text_is_no_markup():
    lines = page(odd, ["odd"]).splitlines()
    assert [
        line for line in lines if line[:1] in {".", "'"} and not line.startswith((".TH", ".SH", ".TP", ".PP", ".B "))
    ] == [
        ".nf",
        ".fi",
    ]
    assert r"\(aqquoted\(aq and a backslash \efB, which is text." in lines
    assert r"\&.first is a dot, \fBC:\ex\fR a backslash" in lines
    assert r"    odd \(aq\en\(aq | \-x" in lines
    assert [name for name, _ in pages(odd, ["mnp", "odd"])] == ["mnp-odd.1"]
    assert escaped("a\n  b") == "a b"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["folder", "module:attribute"]])
def test_other_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("Usage: ")
