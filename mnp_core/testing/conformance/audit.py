"""Audit mode: nothing is denied, would-be denials are counted, and promotion is a change like any other. Needs root.

That everything passes is one of the cases of `mnp_core.testing.corpus`, for every backend.
"""

from collections import Counter
from contextlib import ExitStack

import pytest
from attrs import evolve

from mnp_core.model import Direction, EstablishedFlows, Feature, SandboxPolicy
from mnp_core.testing.conformance.pods import PodConformance, Pods
from mnp_core.testing.corpus import CORPUS
from mnp_core.testing.hosts import works
from mnp_core.testing.policies import DENY, allow, audited, in_audit_mode, isolated, only
from mnp_core.testing.wired import WiredPod

WOULD_DENY = "would-deny"
"""The label of the counter (S72)."""

_CASES = ("audit and deny", "deny all", "union", "peers and ports", "endpoints", "prefixes")
_ATTEMPTS = 3  # a busy machine makes the kit send a packet twice, and kernels send packets of their own


class AuditConformance(PodConformance, standard=True):
    """For directions that only policies in audit mode isolate."""

    def would_be_denials(self, pod: WiredPod, policy: SandboxPolicy) -> dict[tuple[str, Direction], int]:
        """The counters of a policy in force, without those that are zero."""
        found: Counter[tuple[str, Direction]] = Counter()
        for counter in pod.run(self.make_applier().counters):
            if counter.label == WOULD_DENY:
                found[counter.interface, Direction(counter.direction)] += counter.packets
        assert {name for name, _ in found} <= {each.interface for each in policy.interfaces}
        return {key: packets for key, packets in found.items() if packets}

    @pytest.mark.root
    @pytest.mark.parametrize("case", _CASES)
    def test_would_be_denials_are_the_denials_of_the_same_policy(self, mnp_wired_pods: Pods, case: str) -> None:
        """S71, S72: in audit mode every packet passes, and those are counted that the policy would deny."""
        self.needs(Feature.AUDIT)
        self.render(case)  # or it is left out
        policy = self.without_noise(in_audit_mode(CORPUS[case].policy))
        pod = self.wired(mnp_wired_pods, "net1", "net2")
        asked = pod.questions(policy)
        expected = Counter((q.interface, q.direction) for q in asked if q.verdict.would_deny)
        for _ in range(_ATTEMPTS):
            self.enforce(pod.sandbox, policy)
            self.agree(pod, policy)
            found = self.would_be_denials(pod, policy)
            if found == expected:
                break
        assert found == expected

    def without_noise(self, policy: SandboxPolicy) -> SandboxPolicy:
        """The policy with the setting that lets the kernel's own multicast reports pass uncounted, if it has that."""
        if Feature.ACCEPT_MULTICAST_MANAGEMENT in self.refuses:
            return policy
        return evolve(policy, common=evolve(policy.common, accept_multicast_management=True))

    @pytest.mark.root
    @pytest.mark.parametrize("flows", EstablishedFlows)
    def test_promotion_cuts_no_allowed_flow(self, mnp_cleanup: ExitStack, flows: EstablishedFlows) -> None:
        """S73, S42: from audit to isolation and back; others are cut only by the setting."""
        wire = self.make_wire(mnp_cleanup)
        if flows is EstablishedFlows.RECHECK:
            self.needs(Feature.RECHECK)
        rules = allow(ports=["TCP/80"])
        wire.pod.enforce(only(ingress=audited(rules), egress=audited(rules), established_flows=flows))
        ends = (wire.peer, wire.pod), (wire.pod, wire.peer)
        pairs = {port: [wire.connection(near, far, port) for near, far in ends] for port in (80, 81)}
        assert all(works(*pair) for both in pairs.values() for pair in both)
        wire.pod.enforce(only(ingress=isolated(rules), egress=isolated(rules), established_flows=flows))
        survives = flows is EstablishedFlows.KEEP
        assert [works(*pair) for pair in pairs[80]] == [True, True]
        assert [works(*pair) for pair in pairs[81]] == [survives, survives]
        assert not wire.into_pod()
        wire.pod.enforce(only(ingress=audited(rules), egress=audited(rules), established_flows=flows))
        assert [works(*pair) for pair in pairs[80]] == [True, True]
        assert wire.into_pod(port=82)

    @pytest.mark.root
    def test_an_audit_of_one_direction_leaves_flows_of_the_other_alone(self, mnp_cleanup: ExitStack) -> None:
        """S71, S42: replies of an audited flow pass an isolated direction, though a recheck would deny the flow."""
        self.needs(Feature.RECHECK)
        wire = self.make_wire(mnp_cleanup)
        wire.pod.enforce(only(ingress=DENY, egress=audited(), established_flows=EstablishedFlows.RECHECK))
        assert works(*wire.connection(wire.pod, wire.peer, 80))
        assert not wire.into_pod()
