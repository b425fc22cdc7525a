"""Comments in manifests that excuse findings: ``# mnp: ignore[ShadowedRule] written for the audit``.

One at the end of a line counts for the field or element that begins in this line, with everything inside of it; one in
a line of its own for the next line. In front of an object, or at its first line, it counts for the whole object.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from mnp_core.classes import frozen
from mnp_core.model.parsing.field import shown
from mnp_core.policy.lint import Rule, find_rules
from mnp_core.sources.manifests import Place, ReadFile
from mnp_core.sources.positions import Comment, Path, Position, Positions

_MARK = re.compile(r"mnp:\s*ignore\b")
_IGNORE = re.compile(r"mnp:\s*ignore\s*\[([^\]]*)\][\s:,;-]*(.*)")


@frozen(kw_only=True, eq=False)
class Ignore:
    """One comment.

    Attributes:
        file: Its file.
        position: Its position.
        rules: The rules that it names.
        unknown: Words in the bracket that name no rule, for a message.
        reason: Its text behind the bracket; may be empty.
        document: The document that it counts in; 0 for none.
        path: The value that it counts for.
    """

    file: ReadFile
    position: Position
    rules: frozenset[Rule]
    unknown: str
    reason: str
    document: int
    path: Path

    def excuses(self, rule: Rule, place: Place) -> bool:
        """Whether it is about a finding at a place."""
        return (
            rule in self.rules
            and place.file is self.file
            and place.document == self.document
            and place.path[: len(self.path)] == self.path
        )


def find_ignores(files: Iterable[ReadFile], positions: "PositionsOf") -> tuple[Ignore, ...]:
    """All such comments. Files without the word in them cost nothing."""
    return tuple(ignore for file in files if _MARK.search(file.text) for ignore in _of(file, positions(file)))


def _of(file: ReadFile, positions: Positions) -> Iterator[Ignore]:
    lines = file.text.splitlines()
    for comment in positions.comments:
        if not _MARK.match(comment.text):
            continue
        match = _IGNORE.match(comment.text)
        words = [word.strip() for word in match[1].split(",")] if match else []
        document, path = positions.beginning(_line(comment, lines)) or (0, ())
        yield Ignore(
            file=file,
            position=comment.position,
            rules=frozenset().union(*map(find_rules, words)),
            unknown=", ".join(shown(word) for word in words if not find_rules(word)),
            reason=match[2].strip() if match else "",
            document=document,
            path=path,
        )


def _line(comment: Comment, lines: Sequence[str]) -> int:
    """The line that a comment counts for."""
    line = comment.position.line
    if not comment.alone:
        return line
    while line < len(lines) and (
        not lines[line].strip() or lines[line].lstrip().startswith("#") or _is_mark(lines[line])
    ):
        line += 1
    return line + 1


def _is_mark(line: str) -> bool:
    return line.rstrip() == "---"


class PositionsOf:
    """The positions of files, each file looked at once and only if asked for."""

    def __init__(self) -> None:
        self._known: dict[int, Positions] = {}

    def __call__(self, file: ReadFile) -> Positions:
        """The positions of a file."""
        if id(file) not in self._known:
            self._known[id(file)] = Positions(file.text)
        return self._known[id(file)]
