"""Manifests on disk: YAML and JSON as kubectl takes them.

They are read whole before anything is done with them: one that cannot be read stops the command that was to use it,
with file, document and line, and leaves the rules in force alone.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from attrs import evolve, field

from mnp_core.classes import define, frozen
from mnp_core.errors import InputError
from mnp_core.model.parsing.field import shown
from mnp_core.sources.foreign import is_foreign, is_never_manifest, is_template, patch_files
from mnp_core.sources.textfile import read_head
from mnp_core.sources.yamltext import DEEPEST, YamlDocument, decode_yaml

MAX_BYTES = 64 * 1024 * 1024
"""Of one file. The manifests of a cluster are smaller; a larger file is a mistake."""

_OBJECT_FIELDS = frozenset({"apiVersion", "kind", "metadata", "spec"})

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
STDIN = "-"


@frozen(kw_only=True, eq=False)
class ReadFile:
    """A file as it was read, to find lines in.

    Attributes:
        name: As it was named; ``-`` for standard input.
        text: Its content.
    """

    name: str
    text: str


@frozen(kw_only=True)
class Place:
    """A value in a file.

    Attributes:
        file: The file.
        document: Position of the document, from 1.
        path: Keys and positions that lead to the value in it.
    """

    file: ReadFile
    document: int
    path: tuple[str | int, ...] = ()

    def inside(self, *path: str | int) -> "Place":
        """The place of a value inside of this one."""
        return evolve(self, path=(*self.path, *path))


@frozen(kw_only=True)
class Document:
    """One object with where it was written.

    Attributes:
        where: For messages, for example ``pods.yaml, document 3``.
        raw: The decoded object: JSON values, with kind and apiVersion as text.
        place: The place in its file; None if it is from none.
    """

    where: str
    raw: dict[str, Any]
    place: Place | None = field(default=None, eq=False, repr=False)


@frozen(kw_only=True)
class Manifests:
    """Everything in some files.

    Attributes:
        documents: The objects.
        rejected: An error for each document that is meant as an object and is none.
        foreign: How many documents are no objects at all: values for templates, kustomizations without a kind.
        places: The place of each rejected document, in the same order.
        files: What was read, with names.
        unread: Files of folders that hold no objects by themselves: templates, patches, files of other programs.
    """

    documents: tuple[Document, ...]
    rejected: tuple[InputError, ...]
    foreign: int
    places: tuple[Place, ...] = ()
    files: tuple[ReadFile, ...] = ()
    unread: tuple[Path, ...] = ()


def load_documents(paths: Iterable[str | Path]) -> tuple[Document, ...]:
    """Read files, folders (recursively, in order of their names) and ``-`` for standard input.

    Lists (kind ``List``) are opened; empty documents are left out. Whether an object makes sense is not looked at.

    Raises:
        InputError: A path is not there, or a document cannot be read or is no object; it names file, document and
            line.
    """
    return tuple(_accepted(found) for found in _load_all(paths))


def load_manifests(paths: Iterable[str | Path], *, pick: bool = False) -> Manifests:
    """Read files as `load_documents` does, but a document that is no object affects itself alone.

    Args:
        paths: Files and folders.
        pick: Whether files of folders that hold no objects by themselves are left out (`mnp_core.sources.foreign`).

    Raises:
        InputError: A path is not there, or a file is not YAML.
    """
    named = [Path(path) for path in paths]
    given = frozenset(path for path in named if not path.is_dir()) if pick else None
    reading = _Reading()
    chosen = manifest_files(named)
    patches = patch_files(chosen) if pick else frozenset()
    for path in chosen:
        if given is None or path in given:
            reading.take(_read(path))
        elif is_never_manifest(path):
            reading.foreign += 1
        elif path in patches:
            reading.unread.append(path)
        else:
            reading.pick(path)
    return reading.result()


@define
class _Reading:
    """What was read so far."""

    foreign: int = 0
    unread: list[Path] = field(factory=list)
    _found: "list[Document | _NoObject]" = field(factory=list, init=False)
    _files: list[ReadFile] = field(factory=list, init=False)

    def take(self, file: ReadFile) -> None:
        """Read a file; raises InputError."""
        self._found += list(_load(file))
        self._files.append(file)

    def pick(self, path: Path) -> None:
        """Read a file of a folder, unless it holds no objects by itself; raises InputError."""
        file = _read(path)
        if is_template(path, file.text):
            self.unread.append(path)
            return
        try:
            self.take(file)
        except InputError:
            if not is_foreign(file.text):
                raise
            self.unread.append(path)

    def result(self) -> Manifests:
        others = [each for each in self._found if isinstance(each, _NoObject)]
        return Manifests(
            documents=tuple(each for each in self._found if isinstance(each, Document)),
            rejected=tuple(each.error for each in others if each.is_meant),
            foreign=self.foreign + sum(not each.is_meant for each in others),
            places=tuple(each.place for each in others if each.is_meant),
            files=tuple(self._files),
            unread=tuple(self.unread),
        )


@frozen
class _NoObject:
    """A value where an object should be."""

    value: object
    error: InputError
    place: Place

    @property
    def is_meant(self) -> bool:
        """Whether it may be taken for an object."""
        return isinstance(self.value, dict) and not _OBJECT_FIELDS.isdisjoint(self.value)


def _accepted(found: Document | _NoObject) -> Document:
    if isinstance(found, _NoObject):
        raise found.error
    return found


def _load_all(paths: Iterable[str | Path]) -> Iterator[Document | _NoObject]:
    return (found for file in manifest_files(paths) for found in _load(_read(file)))


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


def _load(file: ReadFile) -> Iterator[Document | _NoObject]:
    name = _title(file.name)
    for document in _decode(file.text, name):
        if document.value is not None:
            place = Place(file=file, document=document.number)
            yield from _objects(document.value, f"{name}, document {document.number}", place)


def _title(name: str) -> str:
    return "standard input" if name == STDIN else name


def _read(file: Path) -> ReadFile:
    name = _title(str(file))
    try:
        content = sys.stdin.buffer.read(MAX_BYTES + 1) if str(file) == STDIN else read_head(file, MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror}): name a file or folder of manifests", where=name) from None
    if len(content) > MAX_BYTES:
        raise InputError(f"larger than {MAX_BYTES // 2**20} MiB: split it, if it really holds manifests", where=name)
    try:
        return ReadFile(name=str(file), text=content.decode("utf-8-sig"))
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


def _objects(value: object, where: str, place: Place) -> Iterator[Document | _NoObject]:
    """The object in a document, or the items of a list; a list may hold lists."""
    found = _object(value, where, place)
    if isinstance(found, _NoObject) or not _is_list(found.raw):
        yield found
        return
    for position, item in enumerate(found.raw["items"], start=1):
        inside = place.inside("items", position - 1)
        yield from _objects(_typed(item, found.raw), f"{where}, item {position}", inside)


def _object(value: object, where: str, place: Place) -> Document | _NoObject:
    if not isinstance(value, dict):
        wrong = f"{shown(value)} is not an object: write apiVersion, kind and metadata"
        return _NoObject(value, InputError(wrong, where=where), place)
    for key in ("apiVersion", "kind"):
        if not isinstance(value.get(key), str) or not value[key]:
            wrong = f"{shown(value.get(key))} is not text: name the object's kind"
            return _NoObject(value, InputError(wrong, where=where, field=key), place)
    return Document(where=where, raw=value, place=place)


def _is_list(value: dict[str, Any]) -> bool:
    return value["kind"].endswith("List") and isinstance(value.get("items"), list)


def _typed(item: object, parent: dict[str, Any]) -> object:
    """An item, with the type that items of an API server's PodList and the like leave to the list."""
    kind = parent["kind"].removesuffix("List")
    return {"apiVersion": parent["apiVersion"], "kind": kind, **item} if kind and isinstance(item, dict) else item
