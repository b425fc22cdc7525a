"""A pod that forwards between two networks, with and without a VRF of its own around them."""

from contextlib import ExitStack

import pytest

from mnp_core.model import Direction
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import builders as make
from mnp_core.testing.cluster import Cluster
from mnp_core.testing.netns import End, private_namespace
from tests.vm.conversations import Conversations, Place, questions
from tests.vm.corpus import passes
from tests.vm.devices import cable, enslave
from tests.vm.ip import configure, forward, ip

pytestmark = pytest.mark.vm
SUBNETS = {"left": ("10.1.0", "fd01:"), "right": ("10.2.0", "fd02:")}
INTERFACE = {"left": "net1", "right": "net2"}  # of the router

STATES = {
    "closed": [make.policy("closed", networks=["left", "right"], ingress=[], egress=[])],
    "by interface": [
        make.policy(
            "in",
            networks=["left"],
            ingress=[make.rule([make.block("10.1.0.0/24")]), make.rule([make.block("fd01::/64")], ["TCP/80", "UDP"])],
        ),
        make.policy(
            "out",
            networks=["right"],
            egress=[make.rule([make.block("10.2.0.0/24")], ["TCP/81", "UDP/53"]), make.rule(None, ["TCP/80"])],
        ),
    ],
}


@pytest.fixture(scope="module", params=["plain", "vrf"])
def network(request):
    """The router, and a host on either side with a route to the other."""
    with ExitStack() as cleanup:
        spaces = {name: cleanup.enter_context(private_namespace()) for name in ("router", "left", "right")}
        router = spaces["router"]
        places = []
        for name, (four, six) in SUBNETS.items():
            host = End(spaces[name], "net0", (f"{four}.1/24", f"{six}:1/64"))
            ip(router, cable(INTERFACE[name], host))
            configure(host)
            places += [Place(name, host.sandbox, host.name, address) for address in (f"{four}.1", f"{six}:1")]
        if request.param == "vrf":
            enslave(router, "blue", *INTERFACE.values())
        for name, (four, six) in SUBNETS.items():
            configure(End(router, INTERFACE[name], (f"{four}.254/24", f"{six}:fe/64")))
            ip(spaces[name], f"route add default via {four}.254", f"route add default via {six}:fe")
        forward(router)
        asked = questions(places)
        with Conversations(places) as conversations:
            assert conversations.wrong(dict.fromkeys(asked, True)) == {}
            yield f"forwarding, {request.param}", router, conversations, asked


def make_cluster(policies):
    statuses = (make.status(n, INTERFACE[n], f"{four}.254", f"{six}:fe") for n, (four, six) in SUBNETS.items())
    return Cluster(
        pods=(make.pod("router", *statuses),),
        networks=tuple(make.network(name, "bridge") for name in SUBNETS),
        claimed=frozenset({"bridge"}),
        policies=tuple(policies),
    )


def test_forwarded_traffic_is_enforced_on_both_interfaces(network, engine, check):
    """S47: ingress of the interface it came in on, egress of the one it leaves by, by their own names in a VRF too."""
    row, router, conversations, asked = network
    wrong = {}
    try:
        for state, policies in STATES.items():
            rules = make_cluster(policies).sandbox("router")
            ruleset = engine.renderer.render(rules)
            run_inside(router, lambda ruleset=ruleset: engine.applier.apply(ruleset))
            wrong[state] = check(row, conversations, {question: is_forwarded(rules, question) for question in asked})
    finally:
        run_inside(router, engine.applier.remove)
    assert wrong == {state: {} for state in STATES}


def is_forwarded(rules, question):
    entry, way_out = INTERFACE[question.source.name], INTERFACE[question.destination.name]
    enters = passes(rules, entry, Direction.INGRESS, question)
    return enters and passes(rules, way_out, Direction.EGRESS, question)
