"""`mnp plugin new`: a distribution of one's own to begin with, complete and tested.

Templates are package data beside this module: one for each kind, and a common one. In their files ``$name`` and the
like are replaced (`string.Template`); they end in ``.tmpl`` because they are no Python yet.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template

import click
from packaging.version import Version

import mnp_core
from mnp_core.cli.helping import examples
from mnp_core.cli.terminal import remark
from mnp_core.errors import InputError

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST = 40
_SUFFIX = ".tmpl"
_PREFIX = "mnp-"


_SUMMARIES = {
    "attachment": "makes interfaces known that the CNI plugin {} creates",
    "backend": "enforces with a packet filter, {}",
    "locator": "finds the network namespaces of pods",
    "policy-kind": "reads objects of a kind of its own as policies",
    "command": "adds the command mnp {}",
}


@click.command(
    "new",
    short_help="Begin a plugin: a distribution with tests that pass.",
    epilog=examples(
        ("A plugin for the attachments of a CNI plugin of type vlan:", "mnp plugin new vlan"),
        ("A command of one's own, elsewhere:", "mnp plugin new audit-report --kind command --directory plugins"),
    ),
)
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(tuple(_SUMMARIES)),
    default="attachment",
    show_default=True,
    help="First contents of the plugin.",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="this one",
    help="Where the plugin's folder, mnp-NAME, is made.",
)
def new_command(name: str, kind: str, directory: Path) -> None:
    """Make the folder mnp-NAME with a distribution that can be built, installed and tested at once.

    What it offers works already; change it to what your plugin is to do. By default it makes interfaces known that a
    CNI plugin of type NAME creates. NAME is lower case letters, digits and single hyphens.
    """
    words = _words(name, kind)
    folder = directory / words["distribution"]
    _make(folder, kind, words)
    remark(f"Made {folder}. Next: cd {folder} && pip install -e '.[test]' && pytest && mnp plugins")


def _words(name: str, kind: str) -> Mapping[str, str]:
    """The substitutions of the template."""
    short = name.removeprefix(_PREFIX)
    if not _NAME.fullmatch(short) or len(short) > _LONGEST or short == "core":
        raise InputError(
            f"{name[:80]!r} is not a name for a plugin: up to {_LONGEST} lower case letters, digits and single hyphens,"
            " beginning with a letter; 'core' is taken"
        )
    return {
        "name": short,
        "distribution": _PREFIX + short,
        "package": f"{_PREFIX}{short}".replace("-", "_"),
        "camel": "".join(part.capitalize() for part in short.split("-")),
        "summary": _SUMMARIES[kind].format(short),
        "core": _compatible(Version(mnp_core.__version__)),
    }


def _compatible(core: Version) -> str:
    """The versions that keep the API of this one: before 1.0 a minor version may change it."""
    if core.major:
        return f">={core.major}.{core.minor},<{core.major + 1}"
    return f">=0.{core.minor},<0.{core.minor + 1}"


def _make(folder: Path, kind: str, words: Mapping[str, str]) -> None:
    try:
        if folder.exists() and any(folder.iterdir()):
            raise InputError("is there already, and not empty: choose another name or directory", where=str(folder))
        for path, text in _rendered(kind, words):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(folder)) from error


def _rendered(kind: str, words: Mapping[str, str]) -> Iterator[tuple[PurePosixPath, str]]:
    """The files of the plugin: path and text."""
    for folder in ("common", kind):
        for path, source in _sources(files(__package__) / "template" / folder, PurePosixPath()):
            parts = (words["package"] if part == "package" else part for part in path.parts)
            text = Template(source.read_text(encoding="utf-8")).substitute(words)
            yield PurePosixPath(*parts).with_suffix(""), text


def _sources(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _sources(entry, path / entry.name)
        elif entry.name.endswith(_SUFFIX):
            yield path / entry.name, entry
