"""`mnp plugins`: what is installed, from where, and what became of it."""

import json

import click
from attrs import asdict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mnp_core.plugins import PluginStatus, Registry, State, load_plugins

_STYLES = {State.LOADED: "green", State.DISABLED: "dim"}


@click.command("plugins")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_context
def plugins_command(context: click.Context, output: str) -> None:
    """List the installed plugins and the state of each.

    A plugin that is broken, or made for another version, is listed with the reason and the remedy; the others work.
    """
    registry = context.find_object(Registry) or load_plugins()
    if output == "json":
        click.echo(json.dumps({"plugins": [_as_json(status) for status in registry.statuses]}, indent=2))
    else:
        _print(registry)


def _as_json(status: PluginStatus) -> dict[str, object]:
    return asdict(status) | {"remedy": status.remedy}


def _print(registry: Registry) -> None:
    console = Console()
    table = Table("PLUGIN", "DISTRIBUTION", "VERSION", "STATE", "PROVIDES", box=None, pad_edge=False)
    for status in registry.statuses:
        state = Text(status.state, style=_STYLES.get(status.state, "red"))
        table.add_row(status.name, status.distribution, status.version, state, "\n".join(status.provides))
    console.print(table)
    for status in registry.problems:
        console.print(Text(f"\n{status}"), soft_wrap=True)
