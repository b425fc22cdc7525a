"""`mnp cleanup`: take everything of ours out of every pod of this machine."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path

import click

from mnp_core.api import NodeState, RuleApplier, Sandbox
from mnp_core.cli.entrypoint import ANSWER_IS_BAD
from mnp_core.cli.helping import examples
from mnp_core.cli.options import registry_of
from mnp_core.cli.scope import Scope, scope_options
from mnp_core.cli.terminal import remark
from mnp_core.errors import InputError, MnpError, PluginError, UnsupportedError
from mnp_core.plugins import Registry
from mnp_core.sandbox.pool import SandboxPool
from mnp_core.sandbox.rules import remove_rules


@click.command(
    "cleanup",
    short_help="Take all rules out of the pods of this machine.",
    epilog=examples(
        ("Which pods have rules of ours, without touching them:", "mnp cleanup --dry-run"),
        ("Open one pod, for instance to rule policies out as a cause:", "mnp cleanup --pod demo/web"),
    ),
)
@click.option("--dry-run", is_flag=True, help="List our rules, and leave them.")
@click.option("--backend", "backends", metavar="NAME", multiple=True, help="Only the rules of this applier or dialect.")
@scope_options
@click.option(
    "--host-prefix", type=click.Path(path_type=Path), default=None, help="Where the host's file system is mounted."
)
@click.pass_context
def cleanup_command(
    context: click.Context,
    *,
    dry_run: bool,
    backends: tuple[str, ...],
    pods: tuple[str, ...],
    namespaces: tuple[str, ...],
    netns: tuple[Path, ...],
    endpoint: str,
    host_prefix: Path | None,
) -> int:
    """Take everything that any installed backend has put into network namespaces of this machine away.

    For a node that is not to be enforced any more: its pods are open afterwards. Stop the agent first, it would put
    everything back. The rules of others, and the host's own network namespace, are not touched.

    Ends with 1 if something could not be taken away.
    """
    if os.geteuid() != 0:
        raise UnsupportedError("entering network namespaces needs root: run it with sudo, or in the agent's container")
    appliers = _appliers(registry_of(context), backends)
    settings = {"host-prefix": str(host_prefix or ""), "container-runtime-endpoint": endpoint}
    scope = Scope(netns=netns, pods=pods, namespaces=namespaces, settings=settings)
    sandboxes = scope.sandboxes()
    found, failures = _visit(sandboxes, appliers, dry_run=dry_run)
    if dry_run:
        click.echo(f"{len(sandboxes)} network namespaces: {found} have something of ours, nothing was taken away")
        return ANSWER_IS_BAD if failures else 0
    failures += _sweep(appliers.values()) if scope.is_everything else _forget(appliers.values(), sandboxes)
    click.echo(
        f"{len(sandboxes)} network namespaces: {found} cleaned, {failures} failed, the others had nothing of ours"
    )
    return ANSWER_IS_BAD if failures else 0


def _visit(sandboxes: Mapping[Sandbox, str], appliers: Mapping[str, RuleApplier], *, dry_run: bool) -> tuple[int, int]:
    """Clean, or only look; how many had something of ours, and how many failed."""
    work = partial(_present, appliers) if dry_run else partial(_retired, appliers)
    found, failures = 0, 0
    with SandboxPool() as pool:
        waiting = [(name, pool.submit(sandbox, work)) for sandbox, name in sandboxes.items()]
        for name, future in waiting:
            try:
                backends = future.result()
            except MnpError as error:
                failures += 1
                remark(f"Error: {name}: {error}")
                continue
            found += bool(backends)
            if dry_run and backends:
                click.echo(f"{name}: {', '.join(backends)}")
    return found, failures


def _present(appliers: Mapping[str, RuleApplier]) -> list[str]:
    return [name for name, applier in appliers.items() if applier.installed() is not None]


def _retired(appliers: Mapping[str, RuleApplier]) -> list[str]:
    return [*appliers] if remove_rules(appliers.values()) else []


def _forget(appliers: Iterable[RuleApplier], sandboxes: Collection[Sandbox]) -> int:
    """Remove the appliers' state of some network namespaces elsewhere, and return the number of failures."""
    keeping = [applier for applier in appliers if isinstance(applier, NodeState)]
    return sum(not _done(applier, partial(applier.forget, sandbox)) for applier in keeping for sandbox in sandboxes)


def _sweep(appliers: Iterable[RuleApplier]) -> int:
    """Remove the appliers' state outside of network namespaces, and return the number of failures."""
    keeping = [applier for applier in appliers if isinstance(applier, NodeState)]
    return sum(not _done(applier, partial(applier.sweep, ())) for applier in keeping)


def _done(applier: NodeState, task: Callable[[], None]) -> bool:
    """Run the task; a failing plugin must not hide the results of the others."""
    try:
        task()
    except Exception as error:  # noqa: BLE001 - a plugin may raise any exception
        remark(f"Error: state of {type(applier).__name__} outside of network namespaces: {error}")
        return False
    return True


def _appliers(registry: Registry, backends: Collection[str]) -> dict[str, RuleApplier]:
    """All that work here, whichever was in use; or those that were named, as appliers or by their dialects."""
    specs = registry.appliers
    if unknown := set(backends) - specs.keys() - {spec.dialect for spec in specs.values()}:
        known = ", ".join(sorted(specs))
        raise InputError(f"no installed plugin offers a backend {min(unknown)!r}: there are {known or 'none'}")
    chosen = [name for name, spec in specs.items() if not backends or {name, spec.dialect} & {*backends}]
    found = {}
    for name in chosen:
        try:
            applier = registry.applier(name)
        except PluginError as error:
            remark(f"Warning: {error}")
            continue
        if registry.probe(name, applier).usable:
            found[name] = applier
    if not found:
        raise UnsupportedError("no such backend works here, so there is nothing that could take rules away")
    return found
