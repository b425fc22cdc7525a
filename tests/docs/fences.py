"""Fenced blocks of a Markdown page, as what they say that they are."""

import re
from itertools import zip_longest
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)(?P<rest>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
_INCLUDE = re.compile(r'^--8<-- "([^"]+)"$', re.M)  # pymdownx.snippets; from the root of the checkout
_TITLE = re.compile(r'title="([^"]+)"')


@frozen
class Fence:
    """One block.

    Attributes:
        page: Where it stands.
        line: The line of its text's beginning.
        language: ``sh``, ``yaml`` …; empty if it does not say.
        title: The name of the file that it is; empty if it is none.
        text: Its text.
        shown: Of an ``sh`` block: what the ``text`` block right after it shows as its output; None if there is none.
    """

    page: Path
    line: int
    language: str
    title: str
    text: str
    shown: str | None = None

    @property
    def commands(self) -> list[str]:
        """The lines of a block of commands."""
        return [line for line in self.text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def fences(page: Path) -> list[Fence]:
    """All blocks of a page, in its order."""
    source = page.read_text()
    matches = list(_FENCE.finditer(source))
    return [_fence(page, source, match, follower) for match, follower in zip_longest(matches, matches[1:])]


def _fence(page: Path, source: str, match: re.Match[str], follower: re.Match[str] | None) -> Fence:
    title = _TITLE.search(match["rest"])
    shows = match["language"] == "sh" and follower is not None and follower["language"] == "text"
    return Fence(
        page=page,
        line=source.count("\n", 0, match.start("text")) + 1,
        language=match["language"],
        title=title[1] if title else "",
        text=_INCLUDE.sub(_included, re.sub(f"^{match['indent']}", "", match["text"], flags=re.M)),
        shown=follower["text"] if shows and follower and not source[match.end() : follower.start()].strip() else None,
    )


def _included(match: re.Match[str]) -> str:
    return (ROOT / match[1]).read_text()


def lines(text: str) -> list[str]:
    """Output as it is compared: without the time that something took, and what cannot be seen at the end of lines."""
    return [re.sub(r" in [\d.]+ s$", "", line.rstrip()) for line in text.rstrip().splitlines()]
