"""Every example works as described: for real packets, and in the words of `explain`."""

import json
from pathlib import Path

import pytest

from mnp_core.cli.objects import decode_objects
from mnp_core.settings import Settings
from mnp_core.sources.manifests import load_documents
from mnp_lab.cli.judgement import explanation_of
from mnp_lab.expectations import parse_expectations
from mnp_lab.plan import plan_lab

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/policy.yaml"))

each_example = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


@pytest.mark.root
@each_example
def test_packets_meet_the_expectations(mnp, folder, mnp_backend):
    ended = mnp("lab", "test", folder, "--backend", mnp_backend, "--output", "json")
    found = json.loads(ended.out)
    assert [probe for probe in found["probes"] if not probe["passed"]] == []
    assert (ended.status, found["reports"], ended.err) == (0, [], "")


@pytest.mark.root
@pytest.mark.full
@each_example
def test_packets_agree_with_the_matrix(mnp, folder, mnp_backend):
    sent, worked_out = (
        json.loads(mnp(*command, folder, "--output", "json").out)["probes"]
        for command in (("lab", "run", "--backend", mnp_backend), ("matrix",))
    )
    keys = ("from", "to", "network", "interface", "address", "protocol", "port", "verdict")
    expected = [{key: probe[key] for key in keys} for probe in worked_out]
    assert sorted(map(str, ({key: probe[key] for key in keys} for probe in sent))) == sorted(map(str, expected))
    assert expected


@each_example
def test_explain_meets_the_expectations(registry, folder):
    documents = load_documents([folder])
    plan = plan_lab(documents)
    objects = decode_objects(plan.documents, registry, Settings())
    for expectation in expectations_among(documents):
        assert expectation.probes(plan).errors == ()
        for probe in expectation.probes(plan).probes:
            assert explanation_of(probe, objects).allowed == (expectation.verdict == "allowed"), probe


@each_example
def test_the_expectations_fail_without_the_policies(folder):
    """Without its policies, an example must fail: something is expected to be denied."""
    documents = load_documents([folder])
    assert {expectation.verdict for expectation in expectations_among(documents)} == {"allowed", "denied"}


@each_example
def test_the_index_describes_the_example(folder):
    text = (folder / "policy.yaml").read_text()
    comment = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("#")]
    assert f"| [{folder.name}]({folder.name}) | {' '.join(comment)} |" in (EXAMPLES / "README.md").read_text()


def expectations_among(documents):
    found = [document for document in documents if document.raw["kind"] == "Expectations"]
    return [each for one in found for each in parse_expectations(one.raw["expectations"], where=one.where)]
