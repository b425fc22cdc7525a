"""The API server's own code, on definitions and objects: structure, types and costs of rules in CEL."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.policies import CEL_NEEDED, SENSELESS, SENSIBLE, UNWRITABLE_LABELS, policy

HERE = Path(__file__).parent
DEPLOY = HERE.parents[1] / "deploy"
OBJECTS = {name: policy(spec) for name, spec in (SENSIBLE | SENSELESS | UNWRITABLE_LABELS | CEL_NEEDED).items()}

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]  # several minutes of compiling, once a machine


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """The program of tests/deploy/apiserver: errors of a definition, and of each of some objects."""
    if shutil.which("go") is None:
        pytest.skip("go is not on PATH")
    program = tmp_path_factory.mktemp("apiserver") / "judge"
    subprocess.run(["go", "build", "-o", program, "."], cwd=HERE / "apiserver", check=True)

    def judge(definition, objects):
        asked = [program, DEPLOY / definition]
        answer = subprocess.run(asked, input=json.dumps(objects), check=True, capture_output=True, text=True).stdout
        return json.loads(answer)

    return judge


@pytest.mark.parametrize("definition", ["scheme.yml", "scheme-cel.yml", "macvlan-networkpolicies.yml"])
def test_server_judges_as_the_other_tests_say(judge, definition):
    wrong = SENSELESS | UNWRITABLE_LABELS | (CEL_NEEDED if definition == "scheme-cel.yml" else {})
    answer = judge(definition, OBJECTS)
    assert answer["definition"] == []
    assert {name for name, errors in answer["objects"].items() if errors} == set(wrong)


def test_longest_lists_are_within_the_cost_limit_of_rules(judge):
    """The costs that count when an object is written, beside those that the server estimates of the definition."""
    block = {"ipBlock": {"cidr": "2001:db8::/32", "except": [f"2001:db8:{part:x}::/48" for part in range(10)]}}
    rule = {"from": [block] * 250, "ports": [{"port": 1, "endPort": 65535}] * 250}
    longest = policy({"ingress": [rule] * 50})
    assert judge("scheme-cel.yml", {"longest": longest})["objects"] == {"longest": []}
