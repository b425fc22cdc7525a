"""`mnp lab run`: from manifests to a matrix in one command."""

from pathlib import Path

import click

from mnp_core.cli.helping import examples
from mnp_core.cli.objects import decode_objects
from mnp_core.cli.options import Output, namespace_option, output_option, registry_of, settings_options
from mnp_core.cli.terminal import progress, remark
from mnp_core.offline.probe import parse_probe
from mnp_core.settings import Settings
from mnp_lab.cli.arguments import enforce_option, manifests_argument, read_documents
from mnp_lab.cli.enforcement import make_enforcement
from mnp_lab.cli.judgement import Judge, ask
from mnp_lab.cli.output import print_answers, probe_options, reports_of, tell_unenforced
from mnp_lab.lab import Lab


@click.command(
    "run",
    short_help="Build, enforce, probe every pair, take down.",
    epilog=examples(
        ("Who reaches whom, by real packets:", "mnp lab run policies"),
        ("On two ports:", "mnp lab run policies --probe tcp:80 --probe udp:53"),
    ),
)
@manifests_argument
@namespace_option
@probe_options
@output_option
@enforce_option
@settings_options
@click.pass_context
def run_command(
    context: click.Context,
    paths: tuple[Path, ...],
    namespace: str | None,
    probes: tuple[str, ...],
    timeout: float,
    output: Output,
    enforce: bool,  # noqa: FBT001 - click hands flags over by name
    settings: Settings,
) -> int:
    """Build the pods, enforce the policies, probe every pair, print the matrix, and take all down again.

    Ends with 0 if that could be done, whatever the verdicts; `mnp lab test` is for expectations. Ends with 1 if
    policies could not be enforced in some pod, or could not be on a node.
    """
    specs = [parse_probe(probe) for probe in probes]
    documents = read_documents(paths, namespace)
    registry = registry_of(context, settings)
    enforcement = make_enforcement(registry, settings) if enforce else None
    with progress() as step, Lab.run(documents, enforcement=enforcement, progress=step) as lab:
        _insist_on_pods(lab)
        judge = Judge.of(lab, decode_objects(lab.plan.documents, registry, settings, lab.plan.wires), registry)
        results = ask(lab, lab.plan_probes(specs), judge, timeout=timeout, progress=step)
    for notice in lab.plan.notices:
        remark(f"Notice: {notice}")
    print_answers(results, lab.plan.pods.values(), reports_of(lab, output), output)
    return tell_unenforced(lab, judge.left_open() if enforce else ())


def _insist_on_pods(lab: Lab) -> None:
    """If no pod at all can be built, that is no result."""
    if lab.plan.left_out and not lab.plan.pods:
        raise min(lab.plan.left_out.items())[1]
