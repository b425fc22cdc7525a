"""`mnp cleanup`: take everything of ours out of every pod of this machine."""

import os
from collections.abc import Iterable
from pathlib import Path

import click

from mnp_core.agent.enforcement import retire
from mnp_core.api import NodeState, Result, RuleApplier
from mnp_core.cli.failure import ANSWER_IS_BAD
from mnp_core.cli.options import registry_of
from mnp_core.cli.terminal import remark
from mnp_core.errors import MnpError, PluginError, UnsupportedError
from mnp_core.plugins import Registry
from mnp_core.sandbox.everywhere import all_sandboxes
from mnp_core.sandbox.pool import SandboxPool


@click.command("cleanup", short_help="Take all rules out of the pods of this machine.")
@click.option(
    "--host-prefix", type=click.Path(path_type=Path), default=None, help="Where the host's file system is mounted."
)
@click.pass_context
def cleanup_command(context: click.Context, host_prefix: Path | None) -> int:
    """Take everything that any installed backend has put into network namespaces of this machine away.

    For a node that is not to be policed any more: its pods are open afterwards. Stop the agent first, it would put
    everything back. The rules of others, and the host's own network namespace, are not touched.

    Ends with 1 if something could not be taken away.
    """
    if os.geteuid() != 0:
        raise UnsupportedError("entering network namespaces needs root: run it with sudo, or in the agent's container")
    appliers = _appliers(registry_of(context))
    done, failures = 0, 0
    with SandboxPool() as pool:
        boxes = all_sandboxes(str(host_prefix or ""), lambda error: remark(f"Warning: {error}"))
        waiting = [(box, pool.submit(box, lambda: retire(appliers))) for box in boxes]
        for sandbox, future in waiting:
            try:
                done += future.result().result is Result.REMOVED
            except MnpError as error:
                failures += 1
                remark(f"Error: {sandbox.path}: {error}")
    failures += _sweep(appliers)
    click.echo(f"{len(waiting)} network namespaces: {done} cleaned, {failures} failed, the others had nothing of ours")
    return ANSWER_IS_BAD if failures else 0


def _sweep(appliers: Iterable[RuleApplier]) -> int:
    """Remove what appliers keep outside of network namespaces, and say how many could not."""
    failures = 0
    for applier in appliers:
        try:
            if isinstance(applier, NodeState):
                applier.sweep(())
        except Exception as error:  # noqa: BLE001 - a plugin that fails here must not hide what else was done
            failures += 1
            remark(f"Error: state of {type(applier).__name__} outside of network namespaces: {error}")
    return failures


def _appliers(registry: Registry) -> list[RuleApplier]:
    """All that work here, whichever was in use."""
    found = []
    for name in registry.appliers:
        try:
            applier = registry.applier(name)
        except PluginError as error:
            remark(f"Warning: {error}")
            continue
        if registry.probe(name, applier).usable:
            found.append(applier)
    if not found:
        raise UnsupportedError("no installed backend works here, so there is nothing that could take rules away")
    return found
