"""`mnp lab run`: from manifests to a matrix in one command."""

from pathlib import Path

import click

from mnp_core.cli.lab.answers import print_answers, probe_options
from mnp_core.cli.lab.opening import make_enforcement
from mnp_core.cli.options import Output, output_option, paths_argument, registry_of, settings_options
from mnp_core.cli.terminal import progress, remark
from mnp_core.lab.lab import Lab
from mnp_core.lab.probe import parse_probe
from mnp_core.settings import Settings
from mnp_core.sources.manifests import load_documents


@click.command("run", short_help="Build, enforce, probe every pair, take down.")
@paths_argument()
@probe_options
@output_option
@settings_options
@click.pass_context
def run_command(
    context: click.Context,
    paths: tuple[Path, ...],
    probes: tuple[str, ...],
    timeout: float,
    output: Output,
    settings: Settings,
) -> None:
    """Build the pods, enforce the policies, probe every pair, print the matrix, and take all down again.

    Ends with 0 if that could be done, whatever the verdicts; `mnp lab test` is for expectations.
    """
    specs = [parse_probe(probe) for probe in probes]
    documents = load_documents(paths)
    enforcement = make_enforcement(registry_of(context), settings)
    with progress() as step, Lab.run(documents, enforcement=enforcement, progress=step) as lab:
        results = lab.probe(lab.plan_probes(specs), timeout=timeout, progress=step)
        reports = lab.last_sync.reports if lab.last_sync else ()
        plan = lab.plan
    for notice in plan.notices:
        remark(f"Notice: {notice}")
    print_answers(results, reports, output)
