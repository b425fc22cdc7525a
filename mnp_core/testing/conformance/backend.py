"""Standard tests of backends by packets: the verdicts of `evaluate`, on the real kernel. Needs root.

Truth comes from packets, not from reading the plugin's own text back.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import cycle, islice

import pytest
from attrs import evolve

from mnp_core.errors import InputError
from mnp_core.model import DenyAction, Direction, Feature, SandboxPolicy
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from mnp_core.testing.conformance.audit import AuditConformance
from mnp_core.testing.conformance.base import shown
from mnp_core.testing.conformance.established import EstablishedConformance
from mnp_core.testing.conformance.paths import PathConformance
from mnp_core.testing.conformance.pods import Pods
from mnp_core.testing.conformance.survival import SurvivalConformance
from mnp_core.testing.corpus import CORPUS
from mnp_core.testing.flood import ALLOWED, DENIED, changing_policies, flood
from mnp_core.testing.hosts import (
    FAMILIES,
    PEER,
    POD,
    QUIET,
    SOON,
    Host,
    Router,
    Wire,
    af,
    passes,
    works,
)
from mnp_core.testing.lifecycle import State, lives
from mnp_core.testing.policies import (
    DENY,
    GROUP,
    addresses,
    allow,
    interface,
    isolated,
    only,
    origin,
    sandbox,
)
from mnp_core.testing.sending import drops_expected

both_families = pytest.mark.parametrize("family", FAMILIES)

_SPOT_CHECK = 120  # packets at each state of a life
_CHANGES = 60


class BackendConformance(AuditConformance, EstablishedConformance, PathConformance, SurvivalConformance, standard=True):
    """For a renderer and an applier together: all duties of each, and the verdicts on packets."""

    # --- first packets --------------------------------------------------------------------------------------------

    @pytest.mark.root
    @pytest.mark.parametrize("case", CORPUS)
    def test_packets_agree(self, mnp_wired_pods: Pods, case: str) -> None:
        """S10 to S32, S43 to S45: at the borders of everything that the policy speaks of, and beside them."""
        ruleset, policy = self.render(case), CORPUS[case].policy
        names = sorted({"net1", "net2", *(each.interface for each in policy.interfaces)})
        pod = self.wired(mnp_wired_pods, *names)
        pod.run(lambda: self.make_applier().apply(ruleset))
        self.agree(pod, policy)

    @pytest.mark.root
    def test_packets_agree_after_a_change_of_membership(self, mnp_wired_pods: Pods) -> None:
        """S61: a new member is let in, a removed one is not."""
        pod, rules = self.wired(mnp_wired_pods, "net1", "net2"), isolated(allow([GROUP], ["TCP/80"]))
        groups = [addresses(GROUP, *members) for members in ((), ("10.5.0.1", "fd00:5::1"), ("10.5.0.2", "fd00:5::1"))]
        before: State = None
        for group in (*groups, *groups[::-1]):
            policy = only(ingress=rules, egress=rules, groups=[group])
            self.become(pod.sandbox, before, policy)
            self.agree(pod, policy)
            before = policy

    @pytest.mark.root
    @pytest.mark.parametrize("name", ["net+", "net*", "!net1", "-j", "a;b", "a{b}", "$x"], ids=shown)
    def test_an_odd_interface_name_means_that_interface_or_is_refused(self, mnp_wired_pods: Pods, name: str) -> None:
        """S6, S10: the kernel takes these names; in some languages they are patterns."""
        policy = sandbox(interface(name, ingress=DENY, egress=DENY))
        with suppress(InputError):
            ruleset = self.make_renderer().render(policy)
            pod = self.wired(mnp_wired_pods, "net1", "net2", name)
            pod.run(lambda: self.make_applier().apply(ruleset))
            self.agree(pod, policy)

    @pytest.mark.root
    @pytest.mark.parametrize("life", lives())
    def test_packets_agree_through_a_life(self, mnp_wired_pods: Pods, life: str) -> None:
        """S60: at every state, by every way to it."""
        pod, before = self.wired(mnp_wired_pods, "net1", "net2"), None
        run_inside(pod.sandbox, self.make_applier().remove)
        for state in self._possible(lives()[life]):
            self.become(pod.sandbox, before, state)
            self.agree(pod, only() if state is None else state, most=_SPOT_CHECK)
            before = state

    # --- connections ----------------------------------------------------------------------------------------------

    @pytest.mark.root
    @both_families
    def test_replies_pass_where_the_other_direction_is_isolated(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S40."""
        wire, web = self.make_wire(mnp_cleanup), isolated(allow(ports=["TCP/80"]))
        wire.pod.enforce(only(ingress=DENY, egress=web))
        assert _connects(wire, wire.pod, wire.peer, family)
        wire.pod.enforce(only(ingress=web, egress=DENY))
        assert _connects(wire, wire.peer, wire.pod, family)

    @pytest.mark.root
    @both_families
    def test_errors_about_an_allowed_flow_pass(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S40: without a listener on the port, the answer is an ICMP error."""
        wire = self.make_wire(mnp_cleanup)
        wire.pod.enforce(only(ingress=DENY, egress=isolated(allow(ports=["UDP/80"]))))
        assert wire.gets_port_unreachable(family)

    @pytest.mark.root
    def test_connections_are_tracked_while_everything_is_open(self, mnp_cleanup: ExitStack) -> None:
        """S41: those from before the first policy, and from after the last one, survive the next."""
        wire = self.make_wire(mnp_cleanup)
        for _ in range(2):
            wire.pod.enforce(only())
            both = [wire.connection(near, far, 80) for near, far in ((wire.peer, wire.pod), (wire.pod, wire.peer))]
            wire.pod.enforce(only(ingress=DENY, egress=DENY))
            assert [works(*pair) for pair in both] == [True, True]
            assert not wire.into_pod()

    @pytest.mark.root
    def test_established_flows_survive_a_change(self, mnp_cleanup: ExitStack) -> None:
        """S42: by default, also where they would not be allowed any more."""
        wire, web = self.make_wire(mnp_cleanup), isolated(allow(ports=["TCP/80"]))
        wire.pod.enforce(only(ingress=web, egress=web))
        both = [wire.connection(near, far, 80) for near, far in ((wire.peer, wire.pod), (wire.pod, wire.peer))]
        wire.pod.enforce(only(ingress=isolated(allow(ports=["TCP/81"])), egress=DENY))
        assert [works(*pair) for pair in both] == [True, True]

    # --- the own address, fragments, forwarding -------------------------------------------------------------------

    @pytest.mark.root
    @both_families
    def test_a_pod_reaches_itself(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S44."""
        wire = self.make_wire(mnp_cleanup)
        wire.pod.enforce(only(ingress=DENY, egress=DENY))
        assert wire.datagram(wire.pod.udp(POD[family]), wire.pod.udp(POD[family], 80))

    @pytest.mark.root
    @both_families
    def test_neighbour_discovery_passes_any_policy(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S43: ARP, and neighbour discovery."""
        wire = self.make_wire(mnp_cleanup)
        wire.pod.enforce(only(ingress=DENY, egress=isolated(allow(ports=["UDP/80"]))))
        assert wire.out_of_pod(family)

    @pytest.mark.root
    @both_families
    def test_fragments_go_the_way_of_their_datagram(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S46."""
        wire, rules = self.make_wire(mnp_cleanup), isolated(allow(ports=["UDP/80"]))
        wire.pod.enforce(only(ingress=rules, egress=rules))
        pod, peer, long = wire.pod.udp(POD[family]), wire.peer.udp(PEER[family]), bytes(5000)
        for sender, receiver, address in ((peer, wire.pod, POD[family]), (pod, wire.peer, PEER[family])):
            for port in (80, 81):
                assert passes(sender, receiver.udp(address, port), (address, port), payload=long) is (port == 80)

    @pytest.mark.root
    @both_families
    def test_forwarded_packets_are_enforced_on_both_interfaces(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S47: ingress where it came in, egress where it leaves."""
        router, web = Router(mnp_cleanup, self.make_pod), isolated(allow(ports=["UDP/80"]))
        for ingress, egress, expected in ((web, web, True), (DENY, web, False), (web, DENY, False)):
            router.pod.enforce(sandbox(interface("net1", ingress=ingress), interface("net2", egress=egress)))
            assert router.forwarded(family, 80) is expected
            assert not router.forwarded(family, 81)
        router.pod.enforce(sandbox(interface("net1", egress=DENY), interface("net2", ingress=DENY)))
        assert router.forwarded(family, 80)
        assert not router.forwarded(family, 80, back=True)

    # --- denied packets, others -----------------------------------------------------------------------------------

    @pytest.mark.root
    @pytest.mark.parametrize("action", DenyAction)
    def test_denied_packets_are_answered_only_if_that_is_set(self, mnp_cleanup: ExitStack, action: DenyAction) -> None:
        """S48: the answer gets out of an isolated pod, too."""
        policy = only(ingress=DENY, egress=DENY, deny_action=action)
        wire = self.make_wire(mnp_cleanup)
        if action is DenyAction.REJECT:
            self.needs(Feature.REJECT)
        wire.pod.enforce(policy)
        for family in FAMILIES:
            client = wire.peer.socket(af(POD[family]), socket.SOCK_STREAM)
            client.settimeout(SOON if action is DenyAction.REJECT else QUIET)
            with pytest.raises(OSError) as caught:  # noqa: PT011 # the test is about its type
                client.connect((POD[family], 80))
            assert isinstance(caught.value, TimeoutError) is (action is DenyAction.DROP)

    @pytest.mark.root
    def test_allowed_packets_still_meet_foreign_rules(self, mnp_cleanup: ExitStack) -> None:
        """S49: those of `FOREIGN` drop one port, before ours and after them."""
        wire = self.make_wire(mnp_cleanup)
        wire.pod.run(lambda: nft.load(nft.FOREIGN))
        wire.pod.enforce(only(ingress=isolated(allow()), egress=isolated(allow())))
        assert [wire.into_pod(port=port) for port in (80, nft.FOREIGN_PORT)] == [True, False]
        assert [wire.out_of_pod(port=port) for port in (80, nft.FOREIGN_PORT)] == [True, False]

    @pytest.mark.root
    def test_marks_are_no_way_out(self, mnp_cleanup: ExitStack) -> None:
        """S49: every mark that a process in the pod can set."""
        wire = self.make_wire(mnp_cleanup)
        target = wire.peer.udp(PEER[4], 80)
        wire.pod.enforce(only(egress=DENY))
        for mark in (1, *(1 << bit for bit in range(1, 32)), 0x30000, 0xFFFFFFFF):
            sender = wire.pod.udp(POD[4])
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", mark))
            with drops_expected():
                sender.sendto(b"marked", (PEER[4], 80))
        assert not wire.out_of_pod()
        assert _drained(target) == 0

    # --- counters -------------------------------------------------------------------------------------------------

    @pytest.mark.root
    def test_counters_say_which_rule_a_packet_met(self, mnp_cleanup: ExitStack) -> None:
        """Interface, direction and the rule's origin, as `explain` names it."""
        wire, source = self.make_wire(mnp_cleanup), origin(3, name="web")
        assert wire.pod.counters() == {}
        wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/80"], source=source))))
        wire.into_pod(port=80)
        wire.into_pod(port=81)
        found = {(c.interface, c.direction, c.label): c.packets for c in wire.pod.run(wire.pod.applier.counters)}
        assert found.get(("net1", "Ingress", str(source))) == 1, found

    # --- in time --------------------------------------------------------------------------------------------------

    @pytest.mark.root
    @pytest.mark.parametrize("direction", Direction)
    @pytest.mark.parametrize("change", ["rules", "members"])
    def test_no_packet_passes_between_two_states(
        self, mnp_cleanup: ExitStack, direction: Direction, change: str
    ) -> None:
        """S60: a denied flow, as fast as a process can send, while rules or members change time and again."""
        wire = self.make_wire(mnp_cleanup)
        ends = [(wire.peer, PEER[4]), (wire.pod, POD[4])]
        (sender, source), (receiver, target) = ends if direction is Direction.INGRESS else ends[::-1]
        policies = changing_policies() if change == "rules" else _ever_other_members()
        before: State = next(policies)
        self.become(wire.pod.sandbox, None, before)
        denied, allowed = receiver.udp(target, DENIED), receiver.udp(target, ALLOWED)
        passed = 0
        with flood(sender, source, target):
            for policy in islice(policies, _CHANGES):
                self.become(wire.pod.sandbox, before, policy)
                passed, before = passed + _drained(allowed), policy
        assert passed > _CHANGES, "the flow that is allowed did not pass, so that nothing is known"
        assert _drained(denied) == 0


def _connects(wire: Wire, client: Host, server: Host, family: int) -> bool:
    try:
        return works(*wire.connection(client, server, 80, family))
    except TimeoutError:
        return False


def _ever_other_members() -> Iterator[SandboxPolicy]:
    """Members of a group that a rule uses come and go, while the peer and the pod stay in it."""
    rules = isolated(allow([GROUP], [f"UDP/{ALLOWED}"]))
    for number in cycle(range(200)):
        group = addresses(GROUP, PEER[4], POD[4], *(f"10.2.{number}.{n}" for n in range(1, number % 30 + 2)))
        yield evolve(only(ingress=rules, egress=rules), groups={GROUP: group})


def _drained(receiver: socket.socket) -> int:
    """How many datagrams have arrived since the last look."""
    receiver.setblocking(False)  # noqa: FBT003 # the socket's own signature
    count = 0
    with suppress(BlockingIOError):
        while True:
            receiver.recv(64)
            count += 1
    return count
