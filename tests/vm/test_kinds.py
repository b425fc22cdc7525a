"""Every kind of attachment, with every backend: packets go where `evaluate` says."""

import pytest

from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_inside
from tests.vm.corpus import OUTSIDE, PODS, states, verdict
from tests.vm.devices import KINDS
from tests.vm.network import PodNetwork

pytestmark = pytest.mark.vm
STATES = states("lan1")


@pytest.fixture(scope="module", params=KINDS, ids=str)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def network(kind):
    """Open without policies, so later denials are theirs."""
    with PodNetwork([kind]) as network:
        assert network.conversations.wrong(dict.fromkeys(network.questions, True)) == {}
        yield network


def test_verdicts(network, kind, engine, check):
    """S10, S11, S20, S23, S30, S31, S40, S45, S46 on real devices."""
    questions = [question for question in network.questions if kind.sees_outside or question.source.name != OUTSIDE]
    wrong = {}
    with network.enforced(engine) as enforce:
        for state, policies in STATES.items():
            rules = enforce(policies)
            wrong[state] = check(
                kind, network.conversations, {question: verdict(rules, question) for question in questions}
            )
    assert wrong == {state: {} for state in STATES}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.sees_outside], ids=str, indirect=True)
def test_packets_from_outside_pass_no_hook_of_the_pod(network, engine):
    """S64: why `Kind.sees_outside` is false; if this fails, a newer kernel has made it true."""
    asked = [
        question for question in network.questions if question.source.name == OUTSIDE and question.protocol == "UDP"
    ]
    with network.enforced(engine) as enforce:
        rules = enforce(STATES["mixed"])
        denied = [question for question in asked if not verdict(rules, question)]
        assert denied
        assert network.conversations.wrong(dict.fromkeys(denied, False)) == dict.fromkeys(denied, True)


def test_links_are_read_as_they_are(network, kind):
    links = {name: run_inside(network.pods[name], read_links) for name in PODS}
    for name in PODS:
        (claim,) = network.claims(name)
        (link,) = [link for link in links[name] if link.name == claim.interface]
        assert (link.kind, link.up) == (kind.link_kind, True)
        assert {*claim.addresses} <= {*link.addresses}


@pytest.mark.parametrize("pod", PODS)
def test_discoverer_finds_the_device_as_claimed(network, kind, registry, pod):
    """S3, S64: a pod's links agree with its network-status."""
    if kind.cni_type not in registry.claimed_types:
        pytest.skip(f"no installed plugin claims the CNI type {kind.cni_type!r}")
    (claim,) = network.claims(pod)
    found = registry.discoverer(kind.cni_type).discover(claim, run_inside(network.pods[pod], read_links))
    assert bool(found.unenforceable) is not kind.sees_outside, found
    assert found.mismatches == ()
    assert {*found.attachment.addresses} == {*claim.addresses}
    assert found.attachment.device == claim.device
