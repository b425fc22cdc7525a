"""`mnp plugins`: what is installed, from where, and what became of it."""

import click
from attrs import asdict
from rich.table import Table
from rich.text import Text

from mnp_core.cli.options import Output, output_option, registry_of
from mnp_core.cli.terminal import print_json, results
from mnp_core.plugins import PluginStatus, Registry, State

_STYLES = {State.LOADED: "green", State.DISABLED: "dim"}


@click.command("plugins")
@output_option
@click.pass_context
def plugins_command(context: click.Context, output: Output) -> None:
    """List the installed plugins and the state of each.

    A plugin that is broken, or made for another version, is listed with the reason and the remedy; the others work.
    """
    registry = registry_of(context)
    if output is Output.JSON:
        print_json({"plugins": [_as_json(status) for status in registry.statuses]})
    else:
        _print(registry)


def _as_json(status: PluginStatus) -> dict[str, object]:
    return asdict(status) | {"remedy": status.remedy}


def _print(registry: Registry) -> None:
    table = Table("PLUGIN", "DISTRIBUTION", "VERSION", "STATE", "PROVIDES", box=None, pad_edge=False)
    for status in registry.statuses:
        state = Text(status.state, style=_STYLES.get(status.state, "red"))
        table.add_row(status.name, status.distribution, status.version, state, "\n".join(status.provides))
    console = results()
    console.print(table)
    for status in registry.problems:
        console.print(Text(f"\n{status}"), soft_wrap=True)
