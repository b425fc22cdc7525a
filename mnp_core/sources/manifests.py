"""Manifests on disk: YAML and JSON as kubectl takes them.

They are read whole before anything is done with them: one that cannot be read stops the command that was to use it,
with file, document and line, and leaves what is in force alone.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

from mnp_core.errors import InputError
from mnp_core.model.parsing.field import shown

MAX_BYTES = 64 * 1024 * 1024
"""Of one file. A cluster's worth of manifests is smaller; what is larger is a mistake."""
MAX_ALIASES = 1000
"""Of one document. More are a bomb, not a manifest."""
SUFFIXES = frozenset({".yaml", ".yml", ".json"})
STDIN = "-"

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times faster, where it is there


@frozen(kw_only=True)
class Document:
    """One object with where it was written.

    Attributes:
        where: For messages, for example ``pods.yaml, document 3``.
        raw: The decoded object.
    """

    where: str
    raw: dict[str, Any]


def load_documents(paths: Iterable[str | Path]) -> tuple[Document, ...]:
    """Read files, folders (recursively, in order of their names) and ``-`` for standard input.

    Lists (kind ``List``) are opened; empty documents are left out. Whether an object makes sense is not looked at.

    Raises:
        InputError: A path is not there, or a document cannot be read; it names file, document and line.
    """
    return tuple(document for path in paths for source in _files(path) for document in _load(source))


def _files(path: str | Path) -> Iterator[Path]:
    path = Path(path)
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        if not found:
            raise InputError("no manifests in this folder: they end in .yaml, .yml or .json", where=str(path))
        yield from found
    else:
        yield path


def _load(path: Path) -> Iterator[Document]:
    name = "standard input" if str(path) == STDIN else str(path)
    for number, value in enumerate(_decode(name, _read(path, name)), start=1):
        where = f"{name}, document {number}"
        if value is not None:
            yield from _flatten(value, where)


def _read(path: Path, name: str) -> str:
    try:
        content = sys.stdin.buffer.read(MAX_BYTES + 1) if str(path) == STDIN else _head(path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=name) from error
    if len(content) > MAX_BYTES:
        raise InputError(f"larger than {MAX_BYTES // 1024 // 1024} MiB: is this a manifest?", where=name)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text (byte {error.start})", where=name) from error


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _decode(name: str, text: str) -> Iterator[object]:
    """The documents of a YAML stream, one after the other."""
    loader, number = _Loader(text), 1
    try:
        while True:
            where = f"{name}, document {number}"
            try:
                if not loader.check_node():
                    return
                yield _construct(loader, where)
            except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
                raise InputError(_yaml_problem(error), where=where) from error
            except RecursionError as error:
                raise InputError("is nested too deeply to be a manifest", where=where) from error
            number += 1
    finally:
        loader.dispose()


def _construct(loader: Any, where: str) -> object:
    node = loader.get_node()
    if _count(node, MAX_ALIASES) > MAX_ALIASES:
        raise InputError(f"repeats itself by more than {MAX_ALIASES} aliases: write it out", where=where)
    return loader.construct_document(node)


def _count(root: object, limit: int) -> int:
    """How often nodes of a document are met again, counted up to a limit: what aliases cost when they are followed."""
    seen: set[int] = set()
    again, waiting = 0, [root]
    while waiting and again <= limit:
        node = waiting.pop()
        if isinstance(node, yaml.CollectionNode):
            if id(node) in seen:
                again += 1
                continue
            seen.add(id(node))
            for child in node.value:
                waiting.extend(child if isinstance(child, tuple) else (child,))
    return again


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{place}{problem}; it must be YAML or JSON"


def _flatten(value: object, where: str) -> Iterator[Document]:
    """A document, or the items of a list."""
    if not isinstance(value, dict):
        raise InputError(f"{shown(value)} is not an object: a manifest has apiVersion, kind and metadata", where=where)
    if value.get("kind") != "List" and not (str(value.get("kind", "")).endswith("List") and "items" in value):
        yield Document(where=where, raw=value)
        return
    items = value.get("items")
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise InputError(f"{shown(items)} is not a list", where=where, field="items")
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise InputError(f"{shown(item)} is not an object", where=where, field=f"items[{index}]")
        yield Document(where=f"{where}, item {index + 1}", raw=item)
