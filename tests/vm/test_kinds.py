"""Every kind of attachment, with every backend: packets go where `evaluate` says."""

import pytest

from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_inside
from tests.vm.corpus import OUTSIDE, PODS, states, verdict
from tests.vm.devices import KINDS
from tests.vm.network import Site

pytestmark = pytest.mark.vm
STATES = states("lan1")


@pytest.fixture(scope="module", params=KINDS, ids=str)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def site(kind):
    """Without policies everything gets through, so what does not, later, is stopped by them."""
    with Site([kind]) as site:
        assert site.talk.wrong(dict.fromkeys(site.questions, True)) == {}
        yield site


def test_verdicts(site, kind, engine, check):
    """S10, S11, S20, S23, S30, S31, S40, S45, S46 on real devices."""
    questions = [question for question in site.questions if kind.sees_outside or question.source.name != OUTSIDE]
    wrong = {}
    with site.enforced(engine) as enforce:
        for state, policies in STATES.items():
            rules = enforce(policies)
            wrong[state] = check(kind, site.talk, {question: verdict(rules, question) for question in questions})
    assert wrong == {state: {} for state in STATES}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.sees_outside], ids=str, indirect=True)
def test_what_comes_from_outside_is_beyond_what_the_pod_can_filter(site, engine):
    """S64: why `Kind.sees_outside` is false; if this fails, a newer kernel has made it true."""
    asked = [question for question in site.questions if question.source.name == OUTSIDE and question.protocol == "UDP"]
    with site.enforced(engine) as enforce:
        rules = enforce(STATES["mixed"])
        denied = [question for question in asked if not verdict(rules, question)]
        assert denied
        assert site.talk.wrong(dict.fromkeys(denied, False)) == dict.fromkeys(denied, True)


def test_links_are_read_as_they_are(site, kind):
    links = {name: run_inside(site.pods[name], read_links) for name in PODS}
    for name in PODS:
        (claim,) = site.claims(name)
        (link,) = [link for link in links[name] if link.name == claim.interface]
        assert (link.kind, link.up) == (kind.link_kind, True)
        assert {*claim.addresses} <= {*link.addresses}


@pytest.mark.parametrize("pod", PODS)
def test_discoverer_finds_the_device_as_claimed(site, kind, registry, pod):
    """S3, S64: what a pod's kernel has is what its network-status says, whoever made it."""
    if kind.cni_type not in registry.claimed_types:
        pytest.skip(f"no installed plugin claims the CNI type {kind.cni_type!r}")
    (claim,) = site.claims(pod)
    found = registry.discoverer(kind.cni_type).discover(claim, run_inside(site.pods[pod], read_links))
    assert bool(found.unenforceable) is not kind.sees_outside, found
    assert found.mismatches == ()
    assert {*found.attachment.addresses} == {*claim.addresses}
    assert found.attachment.device == claim.device
