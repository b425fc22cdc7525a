"""Arguments and options that commands of `mnp lab` share."""

from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from mnp_core.cli.options import paths_argument
from mnp_core.cli.terminal import remark
from mnp_core.errors import InputError
from mnp_core.offline.admission import ref_of
from mnp_core.sources.manifests import Document, load_manifests
from mnp_core.sources.placement import place
from mnp_lab.expectations import KIND

F = TypeVar("F", bound=Callable[..., Any])

enforce_option = click.option(
    "--enforce/--no-enforce",
    default=True,
    help="Without: policies are read and nothing is enforced, for a control run. [default: enforce]",
)


def read_documents(paths: Iterable[Path], namespace: str | None) -> tuple[Document, ...]:
    """Read manifests; a document that is no Kubernetes object is left out alone, with a notice (S6).

    Args:
        paths: Files and folders.
        namespace: Of objects without one; None for ``default``.

    Raises:
        InputError: A file cannot be read, or an object names another namespace.
    """
    manifests = load_manifests(paths)
    for error in manifests.rejected:
        _leave_out(error)
    return tuple(document for document in place(manifests.documents, namespace) if _is_named(document))


def _is_named(document: Document) -> bool:
    if document.raw.get("kind") == KIND:
        return True  # expectations need no name
    try:
        ref_of(document)
    except InputError as error:
        _leave_out(error)
        return False
    return True


def _leave_out(error: InputError) -> None:
    remark(f"Notice: left out: {error}")


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
