"""Input of users cannot leave its place: hostile strings, loaded into a real namespace."""

from contextlib import ExitStack, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnp_core.errors import ApplyError, InputError
from mnp_core.model import CustomRules, Direction
from mnp_core.testing.corpus import HOSTILE_TEXTS
from mnp_core.testing.hosts import Wire
from mnp_core.testing.netns import End, private_namespace, veth_pair
from mnp_core.testing.policies import DENY, allow, interface, isolated, only, origin, sandbox
from plugins.iptables.tests.pods import WAYS, Pod

pytestmark = pytest.mark.root
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

NASTY = st.sampled_from(
    [
        '" -j ACCEPT',
        "COMMIT\n",
        "\nCOMMIT\n*filter\n",
        "-j",
        "!",
        "-A",
        "--match-set mnp4-x src",
        " -m comment ",
        "'",
        "+",
    ]
)
nasty = st.lists(NASTY | st.sampled_from(HOSTILE_TEXTS) | st.text(max_size=40), max_size=9).map("".join)


@pytest.fixture(scope="module", params=WAYS)
def pod(request):
    with ExitStack() as cleanup:
        yield Pod(cleanup.enter_context(private_namespace()), cleanup, request.param)


def loaded(pod, policy):
    """Apply a policy; return the number of rules in the namespace by table and chain."""
    pod.run(pod.applier.remove)
    pod.enforce(policy)
    counts = {}
    for line in pod.listing():
        words = line.split(" ")
        if "-A" in words[:4]:
            key = words[0], words[2], words[4]
            counts[key] = counts.get(key, 0) + 1
    return counts


def policy_named(text):
    return only(ingress=isolated(allow(ports=["TCP/80"], source=origin(name=text, kind=text))))


def labels(pod):
    return {counter.label for counter in pod.run(pod.applier.counters)}


def check_names(pod, text):
    counts = loaded(pod, policy_named(text))
    digest = pod.installed().digest
    for tool, rules in (("iptables", 2), ("ip6tables", 7)):
        assert {chain: n for (found, _, chain), n in counts.items() if found == tool} == {
            f"MNP-{digest}": 1,
            "MNP-INGRESS": 2,
            "MNP-I-net1": rules,
            "PREROUTING": 1,
            "POSTROUTING": 1,
        }
    assert {table for _, table, _ in counts} == {"mangle"}
    assert len(labels(pod)) == 4


@quick
@given(nasty)
def test_names_of_objects(pod, text):
    check_names(pod, text)


@pytest.mark.parametrize("name", ["a" * 253, "-".join(["é"] * 60), '"', "\udc80", "x" * 5000, "!", "-j", "%", ""])
def test_long_and_odd_names(pod, name):
    check_names(pod, name)


@quick
@given(
    nasty.map(lambda text: text[:15])
    | st.text(st.characters(max_codepoint=127), max_size=15)
    | st.text(st.sampled_from("!#$%&'()+,-.;<=>?@[]^_`{|}~aZ0"), min_size=3, max_size=15)
)
def test_names_of_interfaces(pod, text):
    policy = sandbox(interface(text, ingress=DENY, egress=DENY), interface("net1", egress=DENY))
    with suppress(InputError):
        counts = loaded(pod, policy)
        assert len(counts) == 2 * 8
        assert {counter.interface for counter in pod.run(pod.applier.counters)} == {"", text, "net1"}


ODD_NAMES = [
    "net+",
    "+",
    "!",
    "!a",
    'a"b',
    "a'b",
    "a\\b",
    "net*",
    "net@1",
    "-j",
    "é",
    "x\x01y",
    "(see-the-chain)",
    "a,b",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_interface_of_any_name_is_enforced_and_no_other(cleanup, way, name):
    """S6, S64: to iptables ``net+`` is every interface that begins with net; to us it is one of this name."""
    wire = Wire(cleanup, lambda namespace, stack: Pod(namespace, stack, way))
    also = f"{name[:-1]}x" if len(name) == 15 else f"{name}x"
    for number, link in enumerate((name, also), start=7):
        inside, outside = (f"10.{number}.0.{end}/24" for end in (1, 2))
        veth_pair(End(wire.pod.sandbox, link, (inside,)), End(wire.peer.sandbox, f"out{number}", (outside,)))
    wire.pod.enforce(sandbox(interface(name, ingress=DENY, egress=DENY), interface("net1", egress=DENY)))
    enforced, other = (
        [
            (wire.peer.udp(f"10.{number}.0.2"), wire.pod.udp(f"10.{number}.0.1", 80)),
            (wire.pod.udp(f"10.{number}.0.1"), wire.peer.udp(f"10.{number}.0.2", 80)),
        ]
        for number in (7, 8)
    )
    assert all(wire.datagram(*pair) for pair in other)
    assert wire.into_pod()
    assert not any(wire.datagram(*pair) for pair in enforced)
    assert {counter.interface for counter in wire.pod.run(wire.pod.applier.counters)} == {"", name, "net1"}


@quick
@given(nasty)
def test_custom_rules(pod, text):
    """They come from the node's operator; still, a line is one rule, or refused, and nothing else."""
    custom = CustomRules(direction=Direction.INGRESS, family=4, lines=(f"-m comment --comment {text}", text))
    with suppress(InputError, ApplyError):
        counts = loaded(pod, only(ingress=DENY, custom=(custom,)))
        assert counts.get(("iptables", "mangle", "MNP-I-net1"), 0) <= 4
        assert counts.get(("iptables", "mangle", "MNP-IP-net1"), 1) == 1
        assert {table for _, table, _ in counts} == {"mangle"}
