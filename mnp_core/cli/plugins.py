"""`mnp plugins`: the installed plugins, their origin and their state."""

import click
from attrs import asdict
from rich.table import Table
from rich.text import Text

from mnp_core.cli.helping import examples
from mnp_core.cli.options import Output, output_option, registry_of, settings_file_option
from mnp_core.cli.terminal import print_json, results
from mnp_core.plugins import PluginStatus, Registry, State
from mnp_core.settings import Settings

_STYLES = {State.LOADED: "green", State.DISABLED: "dim"}

_OURS = {
    "mnp-nftables": "nftables backend",
    "mnp-iptables": "iptables backend",
    "mnp-ebpf": "eBPF backend, for interfaces that no netfilter hook sees",
    "mnp-macvlan": "macvlan attachments",
    "mnp-ipvlan": "ipvlan attachments",
    "mnp-sriov": "SR-IOV attachments",
    "mnp-netdev": "attachments that are ordinary kernel devices",
    "mnp-nri": "pod starts that wait for their rules, by NRI",
    "mnp-cnigate": "gate behind CNI plugins",
    "mnp-lab": "pods and real packets without a cluster",
}
"""The project's own plugins, as hints for a user with nothing but the core."""


@click.command(
    "plugins",
    epilog=examples(
        ("Which backends and kinds of attachment there are here:", "mnp plugins"),
        ("The same for a program:", "mnp plugins --output json"),
    ),
)
@output_option
@settings_file_option
@click.pass_context
def plugins_command(context: click.Context, output: Output, settings: Settings) -> None:
    """List the installed plugins and the state of each.

    A plugin that is broken, or made for another version, is listed with the reason and the remedy; the others work.
    """
    registry = registry_of(context, settings)
    if output is Output.JSON:
        available = [{"distribution": name, "description": text} for name, text in _available(registry)]
        print_json({"plugins": [_as_json(status) for status in registry.statuses], "available": available})
    else:
        _print(registry)


def _available(registry: Registry) -> list[tuple[str, str]]:
    """Those of ours that are not installed."""
    installed = {status.distribution for status in registry.statuses}
    return [(name, text) for name, text in _OURS.items() if name not in installed]


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
    if available := _available(registry):
        console.print("\nNot installed; `pip install` adds them:")
        for name, text in available:
            console.print(Text(f"{name:<14}{text}"))
