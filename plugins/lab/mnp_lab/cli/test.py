"""`mnp lab test`: compare packets with expectations, and exit like a test runner."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from attrs import evolve

from mnp_core.cli.entrypoint import ANSWER_IS_BAD
from mnp_core.cli.helping import examples
from mnp_core.cli.objects import decode_objects
from mnp_core.cli.options import (
    Choice,
    Output,
    choice_options,
    namespace_option,
    output_option,
    paths_argument,
    registry_of,
)
from mnp_core.cli.terminal import progress, remark, remark_reports
from mnp_core.errors import InputError
from mnp_core.sources.manifests import Document
from mnp_lab.cli.arguments import read_documents
from mnp_lab.cli.checks import print_checks
from mnp_lab.cli.enforcement import make_enforcement, name_option, open_lab, remembered_settings
from mnp_lab.cli.judgement import Judge
from mnp_lab.cli.output import reports_of, timeout_option
from mnp_lab.expectations import Check, Expectation, Unjudged, load_expectations, parse_expectations
from mnp_lab.lab import Lab

_KIND = "Expectations"  # of the objects that stand for expectations among manifests
_FIELD = "expectations"


@click.command(
    "test",
    short_help="Compare packets with expectations.",
    epilog=examples(
        ("Manifests that hold objects of kind Expectations:", "mnp lab test policies"),
        (
            "With expectations from elsewhere, by another backend:",
            "mnp lab test policies --expect expectations.yaml --backend iptables",
        ),
    ),
)
@paths_argument(required=False)
@click.option(
    "--expect",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file of expectations; may be repeated. [default: the objects of kind Expectations among the manifests]",
)
@name_option
@namespace_option
@timeout_option
@output_option
@choice_options
@click.pass_context
def test_command(
    context: click.Context,
    paths: tuple[Path, ...],
    files: tuple[Path, ...],
    name: str,
    namespace: str | None,
    timeout: float,
    output: Output,
    choice: Choice,
) -> int:
    """Check who reaches whom: in a lab that lasts as long as the test, or, without PATH, in one that is up.

    Ends with 0 if everything is as expected and with 1 if not, so that it can stand in a CI pipeline.
    """
    started = time.monotonic()
    documents = read_documents(paths, namespace)
    named = [expectation for file in files for expectation in load_expectations(file)]
    if paths:
        _some([*named, *_among(documents)])  # before the lab is built
    elif choice != Choice():
        raise InputError(
            "a lab that is up enforces as was chosen when it was built: leave --settings and --backend out"
        )
    settings = choice.settings() if paths else remembered_settings(name)
    registry = registry_of(context, settings)
    with (
        progress() as step,
        Lab.run(documents, enforcement=make_enforcement(registry, settings), progress=step)
        if paths
        else open_lab(name, registry) as lab,
    ):
        expectations = _some([*named, *_among(lab.plan.documents)])
        objects = decode_objects(lab.plan.documents, registry, settings, lab.plan.wires)
        judge = Judge.of(lab, objects, registry)
        tested = lab.test(expectations, timeout=timeout, progress=step)
        reports = reports_of(lab, output) if lab.last_sync else objects.reports()
    checks = [evolve(c, result=judge.as_on_a_node(c.result)) for c in tested if isinstance(c, Check)]
    unjudged = [each for each in tested if isinstance(each, Unjudged)]
    for complaint in lab.plan.complaints if paths else ():
        remark(f"Notice: {complaint}")
    if output is Output.TABLE:
        remark_reports(reports)
    print_checks(checks, unjudged, judge, reports, seconds=time.monotonic() - started, output=output)
    return 0 if all(check.passed for check in checks) and not unjudged else ANSWER_IS_BAD


def _among(documents: Iterable[Document]) -> Iterator[Expectation]:
    for document in documents:
        if document.raw.get("kind") == _KIND:
            yield from parse_expectations(document.raw.get(_FIELD), where=document.where)


def _some(expectations: list[Expectation]) -> list[Expectation]:
    """A test that tests nothing must not pass."""
    if not expectations:
        raise InputError(f"nothing is expected: name a file with --expect, or add an object of kind {_KIND}")
    return expectations
