"""Lines and columns of fields, and comments beside them.

A second look at a file, for findings only: decoding keeps no positions, and takes half the time without them.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property

import yaml

from mnp_core.classes import frozen

Path = tuple[str | int, ...]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEY = re.compile(r"\.?([^.\[\]]+)")
_DEEPEST = 250


@frozen(order=True)
class Position:
    """A character of a file; both count from 1."""

    line: int = 1
    column: int = 1


@frozen(kw_only=True)
class Comment:
    """A comment.

    Attributes:
        position: Of its ``#``.
        text: Without the ``#`` and white space around.
        alone: Whether nothing else is in its line.
    """

    position: Position
    text: str
    alone: bool


def parse_path(field_path: str) -> Path:
    """The keys and positions of a field's path, as in ``spec.ingress[0].from``; of a malformed one the beginning."""
    found: list[str | int] = []
    rest = field_path
    while rest:
        if rest[0] == "[":
            inner, bracket, rest = _bracket(rest)
            if not bracket:
                break
            found.append(inner)
        elif match := _KEY.match(rest):
            found.append(match[1])
            rest = rest[match.end() :]
        else:
            break
    return tuple(found)


def _bracket(text: str) -> tuple[str | int, str, str]:
    """The content of a bracket at the beginning; keys that are data may be quoted."""
    end = text.find(f"{text[1]}]", 2) + 1 if text[1:2] in ("'", '"') else text.find("]")
    if end <= 0:
        return "", "", ""
    inner = text[1:end]
    if inner[:1] in ("'", '"'):
        return inner[1:-1], "]", text[end + 1 :]
    return int(inner) if inner.isascii() and inner.isdigit() and len(inner) < 9 else inner, "]", text[end + 1 :]


class Positions:
    """The positions of a file's values, worked out at the first question."""

    def __init__(self, text: str) -> None:
        """Take the text of a file in YAML or JSON."""
        self._text = text

    @cached_property
    def _documents(self) -> Sequence[yaml.Node | None]:
        try:
            return list(yaml.compose_all(self._text, Loader=_LOADER))
        except (yaml.YAMLError, RecursionError):  # JSON that is no YAML, such as with tabs
            return ()

    def position(self, document: int, path: Path) -> Position:
        """The position of a value, or of the innermost one around it that is there.

        Args:
            document: Its number, from 1.
            path: Keys and positions; a position in a mapping, or a key in a list, leads nowhere.
        """
        node = self._document(document)
        found = _start(node) if node is not None else Position()
        for step in path:
            entry = _step(node, step) if node is not None else None
            if entry is None:
                break
            found, node = _start(entry[0]), entry[1]
        return found

    def _document(self, number: int) -> yaml.Node | None:
        return self._documents[number - 1] if 0 < number <= len(self._documents) else None

    def beginning(self, line: int) -> tuple[int, Path] | None:
        """Document and path of the widest value that begins in a line; None if none does."""
        for number, node in enumerate(self._documents, start=1):
            if node is not None and node.start_mark.line + 1 == line:
                return number, ()
            if node is not None and node.start_mark.line + 1 < line <= node.end_mark.line + 1:
                path = _beginning(node, line - 1)
                return (number, path) if path else None
        return None

    @cached_property
    def comments(self) -> tuple[Comment, ...]:
        """All comments; a ``#`` in a value begins none."""
        scalars = sorted({span for node in self._documents if node is not None for span in _scalars(node)})
        starts = [start for start, _ in scalars]
        found: list[Comment] = []
        offset = 0
        for number, line in enumerate(self._text.splitlines(keepends=True), start=1):
            for match in re.finditer(r"(?:(?<=\s)|^)#", line):
                at = bisect_right(starts, offset + match.start()) - 1
                if at < 0 or scalars[at][1] <= offset + match.start():
                    text = line[match.end() :].strip()
                    alone = not line[: match.start()].strip()
                    found.append(Comment(position=Position(number, match.start() + 1), text=text, alone=alone))
                    break
            offset += len(line)
        return tuple(found)


def _start(node: yaml.Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


def _entries(node: yaml.Node) -> Iterator[tuple[str | int, yaml.Node, yaml.Node]]:
    """Step, first and value of each element; merged mappings are not followed."""
    if isinstance(node, yaml.MappingNode):
        yield from ((str(key.value), key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode))
    elif isinstance(node, yaml.SequenceNode):
        yield from ((position, value, value) for position, value in enumerate(node.value))


def _step(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode):
        known = isinstance(step, int) and step < len(node.value)
        return (node.value[step], node.value[step]) if known else None
    return next(((first, value) for name, first, value in _entries(node) if name == str(step)), None)


def _beginning(root: yaml.Node, line: int) -> Path:
    """The path of the outermost entry or element that begins in a line."""
    node: yaml.Node = root
    path: Path = ()
    for _ in range(_DEEPEST):
        around = None
        for step, first, value in _entries(node):
            if first.start_mark.line == line:
                return (*path, step)
            if first.start_mark.line < line:
                around = (step, value)
        if around is None:
            return ()
        node, path = around[1], (*path, around[0])
    return ()


def _scalars(root: yaml.Node) -> Iterator[tuple[int, int]]:
    """Where scalars begin and end, in characters; what an alias stands for once."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield node.start_mark.index, node.end_mark.index
        else:
            for _, first, value in _entries(node):
                todo += [first, value]
