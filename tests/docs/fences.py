"""Fenced blocks of a Markdown page, by language and title."""

import re
from itertools import zip_longest
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (
    *sorted(ROOT.glob("*.md")),
    *sorted(DOCS.rglob("*.md")),
    ROOT / "changelog.d" / "README.md",  # fragments are parts of a page to come
    *(path for folder in ("deploy", "examples", "plugins") for path in sorted((ROOT / folder).rglob("*.md"))),
)
"""Whatever people read. Blocks of ``sh`` are run in this process by tests/docs, those of ``console`` by others:
tests/docs/test_console.py says by whom."""

TUTORIAL = DOCS / "tutorial.md"
"""Followed by tests/packages/test_tutorial.py, word for word, with built distributions."""

ON_A_CLUSTER = (DOCS / "quickstart-cluster.md",)
"""Followed by tests/cluster, word for word: see `cluster_blocks`."""

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)(?P<rest>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
_INCLUDE = re.compile(r'^--8<-- "([^"]+)"$', re.M)  # pymdownx.snippets; from the root of the checkout
_COMMANDS = ("sh", "console")
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
        shown: Of a block of commands: the ``text`` block right after it, their output; None if there is none.
    """

    page: Path
    line: int
    language: str
    title: str
    text: str
    shown: str | None = None

    @property
    def is_commands(self) -> bool:
        """Whether it is to be typed."""
        return self.language in _COMMANDS

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


def cluster_blocks(page: Path) -> list[Fence]:
    """The steps of a page for a cluster: its blocks of commands, and files to save before the next.

    A block is meant for one ``bash -euo pipefail``, in the checkout with the files beside it; `Fence.shown` is what it
    prints to standard output then, empty lines and the like left out as `lines` does.
    """
    return [fence for fence in fences(page) if fence.is_commands or fence.title]


def _fence(page: Path, source: str, match: re.Match[str], follower: re.Match[str] | None) -> Fence:
    title = _TITLE.search(match["rest"])
    shows = match["language"] in _COMMANDS and follower is not None and follower["language"] == "text"
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
    """Output in comparable form: without durations and trailing white space."""
    return [re.sub(r" in [\d.]+ s$", "", line.rstrip()) for line in text.rstrip().splitlines()]
