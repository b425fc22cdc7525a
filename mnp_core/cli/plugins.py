"""`mnp plugins`: the installed plugins, their origin and their state."""

from collections.abc import Iterator

import click
from attrs import asdict

from mnp_core.cli.formats.columns import in_columns
from mnp_core.cli.helping import examples
from mnp_core.cli.options import Output, output_option, registry_of, settings_file_option
from mnp_core.cli.terminal import print_json, print_line
from mnp_core.plugins import PluginStatus, Registry
from mnp_core.settings import Settings

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
    rows = [row for status in registry.statuses for row in _rows(status)]
    for line in in_columns(("PLUGIN", "DISTRIBUTION", "VERSION", "STATE", "PROVIDES"), rows):
        print_line(line)
    for status in registry.problems:
        print_line("")
        print_line(str(status), colour="red")
    if available := _available(registry):
        print_line("")
        print_line("Not installed; `pip install` adds them:")
        for name, text in available:
            print_line(f"{name:<14}{text}")


def _rows(status: PluginStatus) -> Iterator[tuple[str, ...]]:
    """One line for each thing that the plugin provides, as some provide many; the first one says whose."""
    first, *others = status.provides or ("",)
    yield status.name, status.distribution, status.version, status.state, first
    for other in others:
        yield " ", " ", " ", " ", other
