"""Options and arguments that several commands share, each defined once."""

import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from attrs import evolve

from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model.parsing.names import is_namespace_name
from mnp_core.plugins import Registry, load_plugins
from mnp_core.settings import Settings, parse_settings
from mnp_core.sources.textfile import read_text
from mnp_core.sources.yamltext import decode_yaml

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]


class Number(click.FloatRange):
    """A finite number. `click.FloatRange` takes nan, which is outside of no range."""

    name = "number"
    _form = "a number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Convert it; raises click.BadParameter."""
        try:
            is_number = math.isfinite(float(value))
        except (TypeError, ValueError):
            is_number = False
        if not is_number:
            self.fail(f"{value!r} is not {self._form}.", param, ctx)
        return float(super().convert(value, param, ctx))


class Seconds(Number):
    """A duration."""

    name = "seconds"
    _form = "a number of seconds"


class Count(click.IntRange):
    """A number of things."""

    name = "number"


class Output(StrEnum):
    """The audience of a result."""

    TABLE = "table"  # eyes
    JSON = "json"  # programs


def paths_argument(*, required: bool = True) -> Decorator[Any]:
    """Manifests: files and folders, ``-`` for standard input."""
    path = click.Path(path_type=Path, allow_dash=True)
    return click.argument(
        "paths", nargs=-1, required=required, type=path, metavar="PATH..." if required else "[PATH...]"
    )


def probe_option(default: str) -> Decorator[Any]:
    """Probes, as texts; `default` says which without any."""
    text = f"tcp:80, udp:53, sctp:99 or icmp; may be repeated. [default: {default}]"
    return click.option("--probe", "probes", metavar="PROBE", multiple=True, help=text)


def flow_options(command: F) -> F:
    """``--from``, ``--to`` and ``--port``, the flows that a command is about, as texts."""
    ports = "tcp:80, udp:53, sctp:99 or icmp; may be repeated. [default: the destination's declared ports, else tcp:80]"
    decorated = click.option("--port", "ports", metavar="PORT", multiple=True, help=ports)(command)
    for name, parameter in (("--to", "destination"), ("--from", "source")):
        ends = click.option(name, parameter, required=True, metavar="END", help="NAMESPACE/POD, or an address.")
        decorated = ends(decorated)
    return decorated


probe_packet_option = click.option(
    "--probe", "sends", is_flag=True, help="Send one real packet on each way, from the pod --from."
)


def form_option(forms: type[StrEnum], words: str) -> Decorator[Any]:
    """The form of a result, by its value; the first one is the default."""
    values = [form.value for form in forms]
    return click.option(
        "--output", "-o", "form", type=click.Choice(values), default=values[0], show_default=True, help=words
    )


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


@frozen
class Choice:
    """The chosen settings, in a form that can be recorded.

    Attributes:
        file: A file of settings, or None.
        backend: The backend where the file names none, or None.
    """

    file: Path | None = None
    backend: str | None = None

    def settings(self) -> Settings:
        """The settings, read now; raises InputError."""
        settings = read_settings(self.file) if self.file is not None else Settings()
        if self.backend is None:
            return settings
        return evolve(settings, backends=evolve(settings.backends, node=self.backend))

    def as_texts(self) -> dict[str, str]:
        """To be remembered: valid in every directory."""
        file = {} if self.file is None else {"settings": str(self.file.absolute())}
        return file if self.backend is None else {**file, "backend": self.backend}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> "Choice":
        """Restore the result of `as_texts`."""
        file = texts.get("settings")
        return cls(Path(file) if file is not None else None, texts.get("backend"))


def choice_options(command: F) -> F:
    """``--settings`` and ``--backend``, together one parameter ``choice``."""

    @wraps(command)
    def with_choice(*args: Any, settings_file: Path | None, backend: str | None, **others: Any) -> Any:
        return command(*args, choice=Choice(settings_file, backend), **others)

    path = click.Path(path_type=Path, dir_okay=False)
    wrapped = click.option("--backend", metavar="NAME", help=_BACKEND_HELP)(with_choice)
    return cast(
        "F", click.option("--settings", "settings_file", type=path, metavar="FILE", help=_SETTINGS_HELP)(wrapped)
    )


def settings_options(command: F) -> F:
    """``--settings`` and ``--backend``, together one parameter ``settings``."""

    @wraps(command)
    def with_settings(*args: Any, choice: Choice, **others: Any) -> Any:
        return command(*args, settings=choice.settings(), **others)

    return cast("F", choice_options(with_settings))


def settings_file_option(command: F) -> F:
    """``--settings`` alone, as the parameter ``settings``: for commands that no backend has a part in."""

    @wraps(command)
    def with_settings(*args: Any, settings_file: Path | None, **others: Any) -> Any:
        return command(*args, settings=Choice(settings_file).settings(), **others)

    return cast("F", _file_option(with_settings))


def _file_option(command: F) -> F:
    path = click.Path(path_type=Path, dir_okay=False)
    return click.option("--settings", "settings_file", type=path, metavar="FILE", help=_SETTINGS_HELP)(command)


def as_namespace(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """A callback of click: the name of a namespace, or none."""
    if value is not None and not is_namespace_name(value):
        raise click.BadParameter(f"{value[:80]!r} is not the name of a namespace")
    return value


namespace_option = click.option(
    "--namespace",
    "-n",
    metavar="NAMESPACE",
    callback=as_namespace,
    help="Where objects and names are that name no namespace, as kubectl has it. [default: default]",
)

_BACKEND_HELP = "An applier or a dialect, as `mnp plugins` lists them. [default: the best that this kernel supports]"
_SETTINGS_HELP = "A YAML file with the node's settings, such as `accept-icmp: true`."


def read_settings(path: Path) -> Settings:
    """Read settings from a file; the files that it names are sought beside it.

    Raises:
        InputError: A file cannot be read, or a setting cannot be understood.
    """
    return parse_settings(read_yaml(path), where=str(path), read=lambda name: read_text(path.parent / name))


def read_yaml(path: Path) -> object:
    """The one document of a YAML file, decoded; None if it is empty.

    Raises:
        InputError: It cannot be read.
    """
    documents = [document.value for document in decode_yaml(read_text(path), str(path))]
    if len(documents) > 1:
        raise InputError("holds several documents: write all settings into one, without ---", where=str(path))
    return next(iter(documents), None)


def registry_of(context: click.Context, settings: Settings | None = None) -> Registry:
    """The loaded plugins, without those that the settings disable.

    Raises:
        InputError: The settings disable a plugin that is not installed.
    """
    if settings is not None and settings.disabled_plugins:
        return load_plugins(settings.disabled_plugins)
    registry = context.find_object(Registry)
    if registry is None:
        raise TypeError("the command runs outside of `mnp`")
    return registry
