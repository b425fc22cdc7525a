"""Results of expectations: a line for each, the reasons of failures, and a summary at the end."""

from collections.abc import Sequence
from textwrap import indent
from typing import TYPE_CHECKING

from mnp_core.cli.options import Output
from mnp_core.cli.terminal import print_json, results
from mnp_core.model import Report
from mnp_core.policy.explain import describe
from mnp_lab.cli.judgement import Judge, explanation_of
from mnp_lab.expectations import Check, Unjudged

if TYPE_CHECKING:
    from rich.console import Console


def print_checks(
    checks: Sequence[Check],
    unjudged: Sequence[Unjudged],
    judge: Judge,
    reports: Sequence[Report],
    *,
    seconds: float,
    output: Output,
) -> None:
    """Print the results of all expectations.

    Args:
        checks: One for each probe.
        unjudged: Expectations that no packet can decide: they have failed.
        judge: Of the tested lab, to explain failures.
        reports: Problems of objects.
        seconds: Duration of the test.
        output: Format of the output.
    """
    passed = sum(check.passed for check in checks)
    failed = len(checks) - passed + len(unjudged)
    if output is Output.JSON:
        probes = [check.result.as_json() | _expected_json(check) for check in checks]
        answer = {"passed": passed, "failed": failed, "probes": probes, "unjudged": [*map(_unjudged_json, unjudged)]}
        print_json(answer | {"reports": [report.as_json() for report in reports]})
        return
    from rich.text import Text  # noqa: PLC0415 # for text alone, and after the help

    console = results()
    for check in checks:
        _print_check(console, check, judge)
    for each in unjudged:
        expected = each.expectation
        ends = f"{', '.join(expected.sources)} -> {', '.join(expected.destinations)}"
        line = Text("FAIL  ", style="bold red").append(f"{ends}: error, but {expected.verdict} is expected", "default")
        console.print(line, soft_wrap=True)
        console.print(Text(indent(str(each.error), " " * 6), style="dim"), soft_wrap=True)
    summary = Text(f"{passed} passed, {failed} failed in {seconds:.1f} s", style="bold red" if failed else "bold green")
    console.print(summary, soft_wrap=True)


def _expected_json(check: Check) -> dict[str, object]:
    return {
        "expected": check.expectation.verdict.value,
        "passed": check.passed,
        "expectation": check.expectation.entry.where,
    }


def _unjudged_json(unjudged: Unjudged) -> dict[str, object]:
    expectation = unjudged.expectation
    return {
        "expected": expectation.verdict.value,
        "expectation": expectation.entry.where,
        "error": str(unjudged.error),
    }


def _print_check(console: "Console", check: Check, judge: Judge) -> None:
    from rich.text import Text  # noqa: PLC0415 # as above

    result = check.result
    if check.passed:
        line = Text("PASS  ", style="green")
        console.print(line.append(f"{result.probe}: {result.verdict}", style="default"), soft_wrap=True)
        return
    expected = f"{result.probe}: {result.verdict}, but {check.expectation.verdict} is expected"
    line = Text("FAIL  ", style="bold red")
    console.print(line.append(expected, style="default"), soft_wrap=True)
    explanation = explanation_of(result.probe, judge.objects)  # may differ from both packets and expectation
    policies = f"{_authority(judge)}: {describe(explanation)}" if explanation else ""
    for text in (f"expected by {check.expectation.entry.where}", result.detail, policies):
        if text:
            console.print(Text(indent(text, " " * 6), style="dim"), soft_wrap=True)


def _authority(judge: Judge) -> str:
    if judge.objects.settings.common.custom:
        return "by the policies alone, which the custom rules of the settings come before"
    return "by the policies"
