"""Input of users cannot leave its place: hostile strings, loaded into a real namespace."""

from contextlib import ExitStack, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnp_core.errors import ApplyError, InputError
from mnp_core.model import CustomRules, Direction
from mnp_core.testing.netns import private_namespace
from mnp_nftables import NftablesApplier
from plugins.nftables.tests.policies import DENY, allow, interface, isolated, only, origin, sandbox
from plugins.nftables.tests.wire import EnforcedHost

pytestmark = pytest.mark.root
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

NASTY = st.sampled_from(
    ['"', "'", "\\", "\n", "\r", "\0", ";", "{", "}", "#", "*", "$", "@", "%", "\t", " ", "é", "\U0001f608"]
)
WORDS = st.sampled_from(
    ["flush ruleset", "accept", "counter", "add table ip x", "include", "comment", "}\n}", "$(reboot)"]
)
hostile = st.lists(NASTY | WORDS | st.text(max_size=40), max_size=30).map("".join)


@pytest.fixture(scope="module")
def pod():
    with ExitStack() as cleanup:
        yield EnforcedHost(cleanup.enter_context(private_namespace()), cleanup)


def loaded(pod, policy):
    """Apply a policy; return the number of rules by chain. Our table has to be the only one."""
    pod.run(NftablesApplier().remove)
    pod.enforce(policy)
    everything = pod.objects()
    tables = [(each["table"]["family"], each["table"]["name"]) for each in everything if "table" in each]
    assert tables == [("inet", "mnp")]
    counts = {}
    for each in everything:
        if "rule" in each:
            counts[each["rule"]["chain"]] = counts.get(each["rule"]["chain"], 0) + 1
    return counts


def policy_named(text):
    return only(ingress=isolated(allow(ports=["TCP/80"], source=origin(name=text, kind=text))))


@quick
@given(hostile)
def test_names_of_objects(pod, text):
    benign = {"state": 1, "ingress": 2, "ingress-net1": 3}
    assert loaded(pod, policy_named(text)) == benign
    labels = {counter.label for counter in pod.run(NftablesApplier().counters)}
    assert len(labels) == 4


@quick
@given(hostile.map(lambda text: text[:15]) | st.text(st.characters(max_codepoint=127), max_size=15))
def test_names_of_interfaces(pod, text):
    with suppress(InputError):
        counts = loaded(pod, sandbox(interface(text, ingress=DENY, egress=DENY)))
        assert sorted(counts.values()) == [1, 2, 2, 2, 2, 2]
        assert {counter.interface for counter in pod.run(NftablesApplier().counters)} == {text, ""}


@quick
@given(st.text(st.sampled_from("!#$%&'()+,-.;<=>?@[]^_`{|}~aZ0"), min_size=3, max_size=15))
def test_odd_names_of_interfaces_that_the_kernel_takes(pod, text):
    counts = loaded(pod, sandbox(interface(text, ingress=DENY, egress=DENY)))
    assert sorted(counts.values()) == [1, 2, 2, 2, 2, 2]
    assert {counter.interface for counter in pod.run(NftablesApplier().counters)} == {text, ""}


@quick
@given(hostile)
def test_custom_rules(pod, text):
    """They come from the node's operator; still, a line is one rule, or refused, and nothing else."""
    custom = CustomRules(direction=Direction.INGRESS, family=4, lines=(f"counter comment {text}", text))
    with suppress(InputError, ApplyError):
        counts = loaded(pod, only(ingress=DENY, custom=(custom,)))
        assert counts.get("custom-ingress-ipv4", 0) <= 2
    tables = [each["table"]["name"] for each in pod.objects() if "table" in each]
    assert tables in ([], ["mnp"])


@pytest.mark.parametrize("name", ["a" * 253, "-".join(["é"] * 60), '"', "\udc80", "x" * 5000])
def test_long_and_odd_names(pod, name):
    assert loaded(pod, policy_named(name))["ingress-net1"] == 3
