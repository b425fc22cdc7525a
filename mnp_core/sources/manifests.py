"""Manifests on disk: YAML and JSON as kubectl takes them.

They are read whole before anything is done with them: one that cannot be read stops the command that was to use it,
with file, document and line, and leaves the rules in force alone.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from mnp_core.errors import InputError
from mnp_core.model.parsing.field import shown
from mnp_core.sources.textfile import read_head
from mnp_core.sources.yamltext import DEEPEST, YamlDocument, decode_yaml

MAX_BYTES = 64 * 1024 * 1024
"""Of one file. The manifests of a cluster are smaller; a larger file is a mistake."""

_OBJECT_FIELDS = frozenset({"apiVersion", "kind", "metadata", "spec"})

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
STDIN = "-"


@frozen(kw_only=True)
class Document:
    """One object with where it was written.

    Attributes:
        where: For messages, for example ``pods.yaml, document 3``.
        raw: The decoded object: JSON values, with kind and apiVersion as text.
    """

    where: str
    raw: dict[str, Any]


@frozen(kw_only=True)
class Manifests:
    """Everything in some files.

    Attributes:
        documents: The objects.
        rejected: An error for each document that is meant as an object and is none.
        foreign: How many documents are no objects at all: values for templates, kustomizations without a kind.
    """

    documents: tuple[Document, ...]
    rejected: tuple[InputError, ...]
    foreign: int


def load_documents(paths: Iterable[str | Path]) -> tuple[Document, ...]:
    """Read files, folders (recursively, in order of their names) and ``-`` for standard input.

    Lists (kind ``List``) are opened; empty documents are left out. Whether an object makes sense is not looked at.

    Raises:
        InputError: A path is not there, or a document cannot be read or is no object; it names file, document and
            line.
    """
    return tuple(_accepted(found) for found in _load_all(paths))


def load_manifests(paths: Iterable[str | Path]) -> Manifests:
    """Read files as `load_documents` does, but a document that is no object affects itself alone.

    Raises:
        InputError: A path is not there, or a file is not YAML.
    """
    found = list(_load_all(paths))
    others = [each for each in found if isinstance(each, _NoObject)]
    return Manifests(
        documents=tuple(each for each in found if isinstance(each, Document)),
        rejected=tuple(each.error for each in others if each.is_meant),
        foreign=sum(not each.is_meant for each in others),
    )


@frozen
class _NoObject:
    """A value where an object should be."""

    value: object
    error: InputError

    @property
    def is_meant(self) -> bool:
        """Whether it may be taken for an object."""
        return isinstance(self.value, dict) and not _OBJECT_FIELDS.isdisjoint(self.value)


def _accepted(found: Document | _NoObject) -> Document:
    if isinstance(found, _NoObject):
        raise found.error
    return found


def _load_all(paths: Iterable[str | Path]) -> Iterator[Document | _NoObject]:
    return (found for file in manifest_files(paths) for found in _load(file))


def manifest_files(paths: Iterable[str | Path]) -> tuple[Path, ...]:
    """The files that paths name: those in folders that have a manifest's suffix and are not hidden; each once.

    Raises:
        InputError: A folder holds none, or cannot be looked into.
    """
    return tuple(dict.fromkeys(file for path in paths for file in _files(Path(path))))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    try:
        found = [file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file()]
    except OSError as error:
        raise InputError(f"cannot be looked into ({error.strerror}): name files instead", where=str(path)) from None
    visible = [file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not visible:
        raise InputError("no manifests in this folder: they end in .yaml, .yml or .json", where=str(path))
    yield from sorted(visible)


def _load(file: Path) -> Iterator[Document | _NoObject]:
    name = "standard input" if str(file) == STDIN else str(file)
    for document in _decode(_read(file, name), name):
        if document.value is not None:
            yield from _objects(document.value, f"{name}, document {document.number}")


def _read(file: Path, name: str) -> str:
    try:
        content = sys.stdin.buffer.read(MAX_BYTES + 1) if str(file) == STDIN else read_head(file, MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror}): name a file or folder of manifests", where=name) from None
    if len(content) > MAX_BYTES:
        raise InputError(f"larger than {MAX_BYTES // 2**20} MiB: split it, if it really holds manifests", where=name)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text, at byte {error.start}: save it as UTF-8", where=name) from None


def _decode(text: str, name: str) -> Iterator[YamlDocument]:
    """The documents of a file. JSON is tried first where it may be: it is decoded a hundred times as fast."""
    if text.lstrip()[:1] in {"{", "["}:
        import msgspec  # noqa: PLC0415 # slow to import, and most manifests are YAML

        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            pass  # YAML may begin like this too; if it is neither, the YAML parser says in which line
        else:
            _check_depth(value, name)
            yield YamlDocument(number=1, value=value)
            return
    yield from decode_yaml(text, name)


def _check_depth(value: object, name: str) -> None:
    """Refuse nesting that is too deep for recursive code."""
    level = [value]
    for _ in range(DEEPEST):
        inside = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [child for children in inside for child in children]
        if not level:
            return
    raise InputError(f"nested more than {DEEPEST} levels deep: no Kubernetes object is", where=f"{name}, document 1")


def _objects(value: object, where: str) -> Iterator[Document | _NoObject]:
    """The object in a document, or the items of a list; a list may hold lists."""
    found = _object(value, where)
    if isinstance(found, _NoObject) or not _is_list(found.raw):
        yield found
        return
    for position, item in enumerate(found.raw["items"], start=1):
        yield from _objects(_typed(item, found.raw), f"{where}, item {position}")


def _object(value: object, where: str) -> Document | _NoObject:
    if not isinstance(value, dict):
        wrong = f"{shown(value)} is not an object: write apiVersion, kind and metadata"
        return _NoObject(value, InputError(wrong, where=where))
    for field in ("apiVersion", "kind"):
        if not isinstance(value.get(field), str) or not value[field]:
            wrong = f"{shown(value.get(field))} is not text: name the object's kind"
            return _NoObject(value, InputError(wrong, where=where, field=field))
    return Document(where=where, raw=value)


def _is_list(value: dict[str, Any]) -> bool:
    return value["kind"].endswith("List") and isinstance(value.get("items"), list)


def _typed(item: object, parent: dict[str, Any]) -> object:
    """An item, with the type that items of an API server's PodList and the like leave to the list."""
    kind = parent["kind"].removesuffix("List")
    return {"apiVersion": parent["apiVersion"], "kind": kind, **item} if kind and isinstance(item, dict) else item
