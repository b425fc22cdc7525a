"""Packets off the beaten track: another way back, a new interface, fragments in reverse, a crowd of other flows.

Needs root.
"""

import time
from contextlib import ExitStack

import pytest

from mnp_core.model import SandboxPolicy
from mnp_core.testing.conformance.pods import PodConformance
from mnp_core.testing.frames import datagram_fragments
from mnp_core.testing.hosts import FAMILIES, PEER, POD, SOON, Detour, EnforcedHost, LateWire, arrives, works
from mnp_core.testing.policies import DENY, allow, interface, isolated, only, sandbox

both_families = pytest.mark.parametrize("family", FAMILIES)

_FRAGMENTED = 3000  # bytes of payload, three fragments


class PathConformance(PodConformance, standard=True):
    """Typical errors of backends on packets out of order, or on an unexpected path.

    Attributes:
        crowd: Flows to send past an established connection; fewer only for a backend with a known lower limit.
    """

    crowd = 100_000

    @pytest.mark.root
    @both_families
    def test_a_reply_passes_by_another_interface(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S40, S41: connections are the pod's, not an interface's; and a new flow by that interface is denied."""
        detour, web = Detour(mnp_cleanup, self.make_pod), isolated(allow(ports=["TCP/80", "UDP/80"]))
        detour.pod.enforce(sandbox(interface("net1", ingress=web), interface("net2", ingress=DENY, egress=DENY)))
        assert detour.connects(family), "the reply by net2 is lost, though net1 allowed the request"
        assert not detour.out_of_pod(family), "net2 lets a new flow out"

    @pytest.mark.root
    @both_families
    def test_an_interface_that_appears_later_is_enforced(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S10, S64: the rules go by its name; at once, or as soon as `installed` reports them incomplete."""
        wire, policy = (
            LateWire(mnp_cleanup, self.make_pod),
            only(ingress=isolated(allow(ports=["UDP/80"])), egress=DENY),
        )
        wire.pod.enforce(policy)
        for _ in range(2):  # the second time another device has the name
            before = wire.pod.run(wire.pod.applier.generation)
            wire.connect()
            self._complete(wire.pod, policy, before)
            until = time.monotonic() + SOON  # the kernel takes a moment from a new link to its first packet
            while not (allowed := wire.into_pod(family)) and time.monotonic() < until:
                pass
            assert [allowed, wire.into_pod(family, 81)] == [True, False]
            assert not wire.out_of_pod(family)
            wire.disconnect()

    def _complete(self, pod: EnforcedHost, policy: SandboxPolicy, generation: int) -> None:
        """Re-enforce as the agent does on a change of links."""
        found = self.read(pod.sandbox)
        if found is not None and found.incomplete:
            assert pod.run(pod.applier.generation) != generation, "incomplete, but the generation is what it was"
            pod.enforce(policy)

    @pytest.mark.root
    @both_families
    def test_fragments_may_come_in_any_order(self, mnp_cleanup: ExitStack, family: int) -> None:
        """S46: the ports are in the first fragment, which comes last."""
        wire = self.make_wire(mnp_cleanup)
        wire.pod.enforce(only(ingress=isolated(allow(ports=["UDP/80"]))))
        sender = wire.peer.raw(family, 255)  # IPPROTO_RAW: headers included
        for number, port in enumerate((80, 81), start=1):
            token, target = b"%020d" % number, wire.pod.udp(POD[family], port)
            payload = token + bytes(_FRAGMENTED)
            for fragment in datagram_fragments(PEER[family], POD[family], port, payload, number)[::-1]:
                sender.sendto(fragment, (POD[family], 0))
            assert arrives(target, token, expected=port == 80) is (port == 80)

    @pytest.mark.root
    def test_an_established_flow_outlasts_a_crowd_of_others(self, mnp_cleanup: ExitStack) -> None:
        """S42: a table of connections that is full must not forget those that are in use."""
        wire, web = self.make_wire(mnp_cleanup), isolated(allow(ports=["TCP/80", "UDP/80"]))
        wire.pod.enforce(only(ingress=web, egress=web))
        both = [wire.connection(near, far, 80) for near, far in ((wire.peer, wire.pod), (wire.pod, wire.peer))]
        target = wire.pod.udp(POD[4], 80)
        wire.crowd(self.crowd)
        assert target.recv(64), "none of the crowd got in, so that nothing is known"
        assert [works(*pair) for pair in both] == [True, True]
        wire.pod.enforce(only(ingress=DENY, egress=DENY))
        assert [works(*pair) for pair in both] == [True, True]
