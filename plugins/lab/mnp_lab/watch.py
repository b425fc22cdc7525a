"""Follows manifests on disk."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from mnp_core.errors import InputError, UnsupportedError
from mnp_core.sources.manifests import STDIN, Document, load_documents, manifest_files

_SETTLING = 50  # milliseconds without another change: an editor writes a file in several steps
_LOOK_ANYWAY = 1000  # milliseconds: some file systems (NFS, some container mounts) report no change

_State = dict[Path, tuple[int, int, int] | None]


def watch_documents(
    paths: Sequence[str | Path], stop: threading.Event, present: tuple[Document, ...] | None = None
) -> Iterator[tuple[Document, ...] | InputError]:
    """Read manifests on every change, until `stop` is set.

    Changes that follow each other closely come as one. A read error is yielded as a value: its consumer keeps the old
    documents.

    Args:
        paths: Files and folders.
        stop: Ends it, within a second.
        present: The documents already read; without it the first to come is the present state.

    Yields:
        All documents, or the error of reading them.

    Raises:
        InputError: Standard input cannot be followed.
        UnsupportedError: This machine cannot watch as many folders.
    """
    if STDIN in map(str, paths):
        raise InputError("standard input cannot be watched: name files or folders")
    given = tuple(map(Path, paths))
    last: tuple[Document, ...] | InputError | None = present
    state: _State | None = None
    for _ in _wakes(given, stop):
        before, state = state, _state(given)
        if state == before:
            continue
        read = _load(given)
        if isinstance(read, InputError) or read != last:
            last = read
            yield read


def _load(paths: tuple[Path, ...]) -> tuple[Document, ...] | InputError:
    try:
        return load_documents(paths)
    except InputError as error:
        return error


def _wakes(paths: tuple[Path, ...], stop: threading.Event) -> Iterator[None]:
    """Come back at once, after each change in one of the folders, and now and then."""
    import watchfiles  # noqa: PLC0415 # it imports multiprocessing, and few commands follow files

    while not stop.is_set():
        folders = _folders(paths)
        yield
        try:
            for _ in watchfiles.watch(
                *folders,
                watch_filter=None,
                stop_event=stop,
                step=_SETTLING,
                rust_timeout=_LOOK_ANYWAY,
                yield_on_timeout=True,
                recursive=False,
            ):
                yield
                if _folders(paths) != folders:
                    break
        except FileNotFoundError:
            stop.wait(_LOOK_ANYWAY / 1000)  # a folder went at this very moment
        except OSError as error:
            message = f"folders cannot be watched ({error}): raise the sysctl fs.inotify.max_user_watches"
            raise UnsupportedError(message) from error


def _folders(paths: tuple[Path, ...]) -> frozenset[Path]:
    """The folders in which something may change.

    Of a file it is its folder: editors replace files, and a watch on the file would stay with the old one. Folders
    below are watched one by one, so that a file in ``/`` does not make the whole machine watched.
    """
    given = [path for path in paths if path.is_dir()]
    below = [path for folder in given for path in folder.rglob("*") if path.is_dir()]
    beside = [path.parent for path in paths if not path.is_dir() and path.parent.is_dir()]
    return frozenset((*given, *below, *beside))


def _state(paths: tuple[Path, ...]) -> _State:
    """The stamp by which a changed file differs from an unchanged one."""
    try:
        files = manifest_files(paths)
    except InputError:
        return {}
    return {file: _stamp(file) for file in files}


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
