"""Commands whose modules are imported on use: `mnp` starts with the imports of one command, not of all."""

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import TYPE_CHECKING

import click

from mnp_core.classes import frozen

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMPLETION_WIDTH = 60  # columns of a command's help beside its name


@frozen
class Promise:
    """A command that is not imported yet.

    Attributes:
        module: Its module.
        attribute: Its name there.
        short_help: Its short help, for the list of commands.
    """

    module: str
    attribute: str
    short_help: str

    def keep(self) -> click.Command:
        """Import it."""
        command: click.Command = getattr(import_module(self.module), self.attribute)
        return command


class Commands(MutableMapping[str, click.Command]):
    """Commands by name, each imported when it is taken out."""

    def __init__(self, promises: Mapping[str, Promise]) -> None:
        self.promises = promises
        self._known: dict[str, click.Command | Promise] = {**promises}

    def __getitem__(self, name: str) -> click.Command:
        found = self._known[name]
        if isinstance(found, Promise):
            found = self._known[name] = found.keep()
        return found

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._known[name] = command

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, name: object) -> bool:
        return name in self._known


class LazyGroup(click.Group):
    """Lists its commands in the order in which they are promised, then the others, without importing any."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """As they are shown."""
        return [*self.commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does, with the promised help of commands that are not imported."""
        limit = formatter.width - 6 - max(map(len, self.commands), default=0)
        if rows := [*self._short_helps(ctx, limit)]:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        """As click does; the group's own options come after its commands."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 # for shells that complete only

        found = [row for row in self._short_helps(ctx, _COMPLETION_WIDTH) if row[0].startswith(incomplete)]
        return [
            *(CompletionItem(name, help=text) for name, text in found),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]

    def _short_helps(self, ctx: click.Context, limit: int) -> Iterator[tuple[str, str]]:
        promises = self.commands.promises if isinstance(self.commands, Commands) else {}
        for name in self.list_commands(ctx):
            known = promises.get(name)
            yield name, known.short_help if known else self.commands[name].get_short_help_str(limit)
