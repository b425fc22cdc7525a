"""Options and arguments that several commands share, each said once."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import click
import yaml
from attrs import evolve

from mnp_core.errors import InputError
from mnp_core.plugins import Registry
from mnp_core.settings import Settings, parse_settings

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]


class Output(StrEnum):
    """For whom the result is."""

    TABLE = "table"  # eyes
    JSON = "json"  # programs


def paths_argument(*, required: bool = True) -> Decorator[Any]:
    """Manifests: files and folders, ``-`` for standard input."""
    path = click.Path(path_type=Path, allow_dash=True)
    return click.argument("paths", nargs=-1, required=required, type=path, metavar="PATH...")


def _as_output(_context: click.Context, _parameter: click.Parameter, value: str) -> Output:
    return Output(value)


output_option = click.option(
    "--output",
    "-o",
    type=click.Choice([output.value for output in Output]),
    default=Output.TABLE.value,
    show_default=True,
    callback=_as_output,
    help="For eyes, or for programs: one JSON value and nothing else.",
)


def settings_options(command: F) -> F:
    """``--settings`` and ``--backend``, together one parameter ``settings``."""
    # click hands options over in the order of the command line: the settings are there before the backend is looked at
    command = click.option("--backend", expose_value=False, callback=_choose_backend, help=_BACKEND_HELP)(command)
    return click.option(
        "--settings",
        type=click.Path(path_type=Path, dir_okay=False),
        is_eager=True,
        callback=_load_settings,
        help="A YAML file with the node's settings, such as `accept-icmp: true`.",
    )(command)


_BACKEND_HELP = "An applier or a dialect, as `mnp plugins` lists them. [default: the best that this kernel supports]"


def _load_settings(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Settings:
    return read_settings(path) if path is not None else Settings()


def _choose_backend(context: click.Context, _parameter: click.Parameter, backend: str | None) -> None:
    if backend is not None:
        settings: Settings = context.params["settings"]
        context.params["settings"] = evolve(settings, backends=evolve(settings.backends, node=backend))


def read_settings(path: Path) -> Settings:
    """Read settings from a file; the files that it names are sought beside it.

    Raises:
        InputError: A file cannot be read, or a setting cannot be understood.
    """
    text = _read(path)
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"is not YAML: {' '.join(str(error).split())}", where=str(path)) from error
    return parse_settings(raw, where=str(path), read=lambda name: _read(path.parent / name))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text in UTF-8"
        raise InputError(f"cannot be read: {reason}", where=str(path)) from error


def registry_of(context: click.Context) -> Registry:
    """The plugins that were loaded when the program started."""
    registry = context.find_object(Registry)
    if registry is None:
        raise TypeError("the command runs outside of `mnp`")
    return registry
