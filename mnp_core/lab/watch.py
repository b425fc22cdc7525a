"""Follows manifests on disk."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import watchfiles

from mnp_core.errors import InputError, MnpError
from mnp_core.sources.manifests import STDIN, SUFFIXES, Document, load_documents

_SETTLING = 200  # milliseconds: an editor writes a file in several steps


def watch_documents(paths: Sequence[Path], stop: threading.Event) -> Iterator[tuple[Document, ...] | MnpError]:
    """Read the manifests anew whenever they change, until told to stop.

    Yields:
        All documents, or what is wrong with one.

    Raises:
        InputError: Standard input cannot be followed.
    """
    if Path(STDIN) in paths:
        raise InputError("standard input cannot be watched: name files or folders")
    given = tuple(path.resolve() for path in paths)
    # Folders, since an editor that replaces a file leaves a watch on the file itself behind.
    folders = {path if path.is_dir() else path.parent for path in given}

    def concerns(_: watchfiles.Change, changed: str) -> bool:
        path = Path(changed)
        return path in given or (path.suffix in SUFFIXES and any(path.is_relative_to(each) for each in given))

    for _ in watchfiles.watch(
        *folders, watch_filter=concerns, stop_event=stop, debounce=_SETTLING, step=_SETTLING // 4
    ):
        try:
            yield load_documents(paths)
        except MnpError as error:
            yield error
