"""Pods without a cluster: built from ordinary manifests, enforced by the real agent, probed with real packets.

The lab does the work of API server, meta-plugin and CNI plugins. Everything that it makes lies in network namespaces
of its own; nothing is put on the host.

From manifests to a plan, pure, no privileges (`render`, `explain` and `validate` use it too):

    documents = load_documents(paths)                     # mnp_core.sources.manifests
    plan = plan_lab(documents)                            # mnp_lab.plan; InputError for a malformed object
    plan.documents    # as the API server would show them: namespaces, addresses and network-status filled in
    plan.pods         # Mapping[ObjectName, PodPlan]: the pods and their links
    plan.left_out     # Mapping[ObjectName, InputError]: pods that cannot be built; the others are
    plan.wires        # Mapping[ObjectName, str]: by network, its layer 2; several networks may share one
    plan.notices      # tuple[str, ...]: deviations of the lab from a cluster

A lab for the length of a block, or one that stays (`mnp_lab.lab`):

    enforcement = Enforcement(decoder=decoder, make_agent=lambda locator: Agent(..., locator=locator, ...))
    with Lab.run(documents, enforcement=enforcement, progress=progress) as lab: ...
    lab = Lab.up("demo", documents, enforcement=enforcement, run_dir=None, progress=progress)
    Lab.options_of("demo") -> Mapping[str, str]           # the `options` of `up`
    lab = Lab.open("demo", enforcement=enforcement)       # InputError if there is none
    Lab.names(run_dir=None) -> tuple[str, ...]            # labs that are up
    Lab.down_named("demo") / Lab.down_all() -> tuple[str, ...]   # also leftovers of a lab that never came up

    lab.apply(documents) -> ApplyResult                   # like kubectl apply: upsert
    lab.replace(documents) -> ApplyResult                 # exactly these from now on: the rest is deleted
    lab.delete(refs: Iterable[ObjectRef]) -> ApplyResult  # a namespace with all in it; InputError if one is not there
    lab.watch(paths, stop: threading.Event) -> Iterator[ApplyResult | MnpError]   # replaces on each change of the files
    lab.exec(ObjectName, argv) -> int                     # exit status; terminal and standard streams inherited
    lab.program(ObjectName, argv) -> Program              # to start, detach, or replace this process by it
    lab.unenforced -> Mapping[ObjectName, str]            # pods whose policies could not be enforced, and why
    lab.plan, lab.objects (Mapping[ObjectRef, Document]), lab.last_sync (Sync | None)
    lab.sandbox(ObjectName) -> Sandbox                    # to run code inside a pod: run_inside
    lab.close() / lab.down()                              # let go of it / take it down

Probes (`mnp_core.offline.probe`, `mnp_lab.prober`):

    parse_probe("tcp:80") -> ProbeSpec                    # also udp:53, sctp:99, icmp
    lab.plan_probes(specs=(), sources=None, destinations=None, network=None) -> tuple[Probe, ...]
    lab.probe(probes, timeout=1.0, progress=None) -> tuple[ProbeResult, ...]
    with lab.prober() as prober: prober.run(probes, timeout, progress)   # for repeated runs: listeners stay open
    result.as_json() -> dict                              # one element of "probes"

Expectations (`mnp_lab.expectations`):

    load_expectations(path) -> tuple[Expectation, ...]    # InputError names file, entry and field
    lab.test(expectations, timeout=1.0, progress=None) -> tuple[Check | Unjudged, ...]
    check.expectation, check.result (ProbeResult), check.passed
    unjudged.expectation, unjudged.error (InputError)     # no packet can decide it

`Progress` is ``Callable[[str, int, int], None]``: description of the step, units done, units in total.
"""

from collections.abc import Iterator, Mapping

import click

from mnp_core import hookimpl
from mnp_core.api import CommandSpec, SandboxLocator, SandboxLocatorSpec

__all__ = ["mnp_register_commands", "mnp_register_sandbox_locators"]


@hookimpl
def mnp_register_commands() -> Iterator[CommandSpec]:
    """Offer `mnp lab`."""
    yield CommandSpec(name="lab", factory=_make_command)


@hookimpl
def mnp_register_sandbox_locators() -> Iterator[SandboxLocatorSpec]:
    """Offer the way to a lab's pods, for a node agent that runs beside one."""
    yield SandboxLocatorSpec(name="lab", factory=_make_locator)


def _make_command() -> click.Command:
    from mnp_lab.cli import lab_group  # noqa: PLC0415 # every `mnp` loads this module

    return lab_group


def _make_locator(settings: Mapping[str, str]) -> SandboxLocator:
    from mnp_lab.locator import make_lab_locator  # noqa: PLC0415 # likewise

    return make_lab_locator(settings)
