"""The kit is tested against plugins that are broken on purpose: each fails at the check that is named for it."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from mnp_core.testing import conformance
from tests.conformance_kit import broken_backends, broken_gates, broken_in_time, broken_others, broken_packets

HERE = Path(__file__).parent
MODULES = (broken_backends, broken_gates, broken_in_time, broken_others, broken_packets)
TABLE = [(module, name, *row) for module in MODULES for name, row in module.MUST_FAIL.items()]


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """Run every broken plugin at its check, in one run of pytest as its author would start it."""
    report = tmp_path_factory.mktemp("broken") / "report.xml"
    checks = [f"{HERE / module.__name__.rpartition('.')[2]}.py::{name}::{check}" for module, name, check, *_ in TABLE]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "junit_family=xunit1",
        f"--junitxml={report}",
        *checks,
    ]
    environment = {**os.environ, "TMPDIR": str(report.parent)}  # some leave files behind
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    return {
        (case.attrib["classname"].rpartition(".")[2], case.attrib["name"]): case.find("failure")
        for case in ET.parse(report).iter("testcase")  # noqa: S314 # our own
    }


@pytest.mark.root
@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "check", "because"), [(name, check, because) for _, name, check, _, because in TABLE])
def test_a_broken_plugin_fails_at_the_check_that_is_named_for_it(failures, name, check, because):
    """And for its reason: by an assertion, where nothing else is said."""
    failure = failures[name, check]
    assert failure is not None, "it passes"
    assert because in failure.attrib["message"][:400].replace("AssertionError", "assert"), failure.attrib["message"]


def test_every_standard_test_has_a_plugin_that_fails_it(figures):
    """A check that nothing fails checks nothing. The table is printed."""
    kinds = [getattr(conformance, name) for name in conformance.__all__]
    standard = {name for kind in kinds for name in kind.standard_tests}
    width = max(len(name) for _, name, *_ in TABLE)
    figures += ["", "broken plugins, what is wrong with each, and the check that it fails:"]
    figures += [f"  {name.removeprefix('Test'):{width}} {wrong}: {check}" for _, name, check, wrong, _ in TABLE]
    assert standard - {check.partition("[")[0] for _, _, check, *_ in TABLE} == set()
