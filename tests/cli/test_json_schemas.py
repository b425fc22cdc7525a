"""The output of each command with `--output json`, held to its schema in docs/reference/schemas.

A new command needs a schema, NAME.json with hyphens for blanks, a row in docs/commands.md, and a case below, or a test
elsewhere that calls `faults`.
"""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.cli.commands import COMMANDS
from tests.cli.schemas import SCHEMAS, faults

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/commands.md").read_text()


def with_json():
    """The names of all commands that write JSON, as their schemas are called."""
    for name, command in COMMANDS.items():
        if any("--output" in each.opts and "json" in getattr(each.type, "choices", ()) for each in command.params):
            yield name.removeprefix("mnp ").replace(" ", "-")


NAMES = sorted(with_json())
BROKEN = "{apiVersion: k8s.cni.cncf.io/v1beta1, kind: MultiNetworkPolicy, metadata: {name: x}, spec: {ingress: 7}}"
CASES = [
    ("validate", "validate {quickstart}"),
    ("validate", "validate {broken}"),
    ("validate", "validate {accepted}"),
    ("explain", "explain {quickstart} --from demo/stranger --to demo/web --port icmp --port tcp:80"),
    ("explain", "explain {quickstart} --from demo/client --to demo/web"),
    ("explain", "explain {quickstart} {broken} --from 203.0.113.7 --to demo/web"),
    ("matrix", "matrix {quickstart} --outside"),
    ("matrix", "matrix {shared} --group --probe icmp"),
    ("render", "render {quickstart} {broken} --backend nftables"),
    ("plugins", "plugins"),
    ("diff", "diff {quickstart}/cluster.yaml {quickstart}"),
    ("diff", "diff {quickstart} {broken}"),
]
LAB = [
    ("lab-run", "lab run {quickstart}"),
    ("lab-test", "lab test {quickstart}"),
    ("lab-get", "lab get"),
    ("lab-probe", "lab probe --probe icmp"),
]


@pytest.fixture
def line(examples, tmp_path):
    """Fills the paths of a case in."""
    (tmp_path / "broken.yaml").write_text(BROKEN)
    (tmp_path / "accepted.yaml").write_text(f"{BROKEN} # mnp: ignore[Malformed]\n")
    paths = {"quickstart": examples / "quickstart", "shared": examples / "shared-network"}
    return lambda text: text.format(
        **paths, broken=tmp_path / "broken.yaml", accepted=tmp_path / "accepted.yaml"
    ).split()


ELSEWHERE = {
    "denied": "tests/node/test_denied.py",
    "kubectl-mnp-denied": "tests/cli/fleet/test_denied.py",
    "kubectl-mnp-explain": "tests/node/test_explain.py",
    "kubectl-mnp-status": "tests/cli/fleet/test_status.py",
    "kubectl-mnp-top": "tests/cli/fleet/test_top.py",
    "compare": "tests/node/test_status.py",
    "status": "tests/node/test_status.py",
    "trace": "tests/node/test_trace.py",
    "top": "tests/node/test_status.py",
}
"""Commands that ask something which runs, and the tests that hold their outputs to the schemas."""


def test_every_command_with_json_has_a_schema_and_a_case():
    assert sorted(SCHEMAS) == NAMES, "write docs/reference/schemas/NAME.json"
    assert sorted({name for name, _ in CASES + LAB} | {*ELSEWHERE}) == NAMES, "add a case"
    for name, file in ELSEWHERE.items():
        assert f'faults("{name}", ' in (ROOT / file).read_text(), f"{file} does not check the output of {name}"
    listed = re.findall(r"^\| `(?:mnp )?([^`]*)` \| \[.*?\]\(reference/schemas/(.*?)\.json\) \|$", PAGE, re.MULTILINE)
    assert [(words.replace(" ", "-"), name) for words, name in listed] == [(name, name) for name in NAMES]


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name):
    Draft202012Validator.check_schema(SCHEMAS[name])
    program = "" if name.startswith("kubectl-") else "mnp "
    assert SCHEMAS[name]["title"] == f"{program}{name.replace('-', ' ')} --output json"


@pytest.mark.parametrize(("name", "command"), CASES)
def test_output_is_as_the_schema_says(name, command, line, mnp):
    ended = mnp(*line(command), "--output", "json")
    assert ended.status in {0, 1}, ended.err
    assert faults(name, ended.out) == []


@pytest.mark.root
def test_output_of_the_lab_is_as_the_schemas_say(line, mnp, tmp_path, monkeypatch):
    """With one lab for all of them; what `run` and `test` build themselves is for the full suite."""
    monkeypatch.setenv("MNP_RUN_DIR", str(tmp_path / "run"))
    assert mnp("lab", "up", *line("{quickstart}"), *line("{broken}")).status == 0
    try:
        for name, command in (
            ("lab-get", "lab get"),
            ("lab-probe", "lab probe --probe icmp"),
            ("lab-test", "lab test"),
        ):
            more = line("--expect {quickstart}/expectations.yaml") if name == "lab-test" else []
            ended = mnp(*line(command), *more, "--output", "json")
            assert ended.status == 0, ended.err
            assert faults(name, ended.out) == []
    finally:
        assert mnp("lab", "down").status == 0


@pytest.mark.root
@pytest.mark.full
@pytest.mark.parametrize(("name", "command"), LAB[:2])
def test_output_of_labs_for_one_command_is_as_the_schema_says(name, command, line, mnp):
    ended = mnp(*line(command), "--output", "json")
    assert ended.status == 0, ended.err
    assert faults(name, ended.out) == []


def test_fields_that_no_schema_describes_are_found(mnp, line):
    """So that the tests above can fail."""
    output = json.loads(mnp(*line("matrix {quickstart}"), "--output", "json").out)
    output["probes"][0]["egress"]["colour"] = "red"
    del output["probes"][1]["verdict"]
    output["probes"][2]["port"] = "80"
    assert [fault.partition(":")[0] for fault in faults("matrix", json.dumps(output))] == [
        "$.probes[0].egress",
        "$.probes[1]",
        "$.probes[2].port",
    ]
