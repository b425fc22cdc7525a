"""Arguments and options that commands of `mnp lab` share."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from mnp_core.cli.options import paths_argument

F = TypeVar("F", bound=Callable[..., Any])

enforce_option = click.option(
    "--enforce/--no-enforce",
    default=True,
    help="Without: policies are read and nothing is enforced, for a control run. [default: enforce]",
)


def manifests_argument(command: F) -> F:
    """Manifests, as arguments or as kubectl has them, together the parameter ``paths``."""

    @wraps(command)
    def with_paths(*args: Any, paths: tuple[Path, ...], files: tuple[Path, ...], **others: Any) -> Any:
        if not paths and not files:
            raise click.UsageError("Missing argument 'PATH...': name manifests, also with --file")
        return command(*args, paths=(*paths, *files), **others)

    path = click.Path(path_type=Path, allow_dash=True)
    option = click.option("--file", "-f", "files", multiple=True, type=path, metavar="PATH", help="As PATH.")
    return cast("F", paths_argument(required=False)(option(with_paths)))
