"""The table of family ``bridge`` on this kernel, with or without connection tracking on bridges (tests/vm has it)."""

import socket
import subprocess
from contextlib import ExitStack, suppress

import pytest
from attrs import evolve

from mnp_core.errors import ApplyError
from mnp_core.model import OPEN, DeniedLog, LinkPath
from mnp_core.netfilter.nfnetlink import Nfnetlink
from mnp_core.testing.netns import End, bridge, private_namespace, run_inside, veth_pair
from mnp_nftables import NftablesApplier, NftablesRenderer, table
from mnp_nftables.definition import TableDefinition
from mnp_nftables.frames import FAMILY, frame_chains, in_family
from mnp_nftables.rule import Chain
from mnp_nftables.sets import command, elements, set_names
from mnp_nftables.transaction import messages_of, text_of
from plugins.nftables.tests.policies import DENY, allow, interface, isolated, sandbox
from plugins.nftables.tests.test_renderer import BRIDGED

pytestmark = pytest.mark.root
PORT = 4999


def stateless(policy):
    """The table without the rules that look at connections: these alone need nf_conntrack_bridge."""
    groups = tuple(policy.groups.values())
    chains = [
        Chain(name=chain.name, rules=tuple(rule for rule in chain.rules if "ct " not in rule.text))
        for chain in frame_chains(policy)
    ]
    members = {name: found for group in groups for name, found in elements(group).items()}
    return [name for group in groups for name in set_names(group)], chains, members


def send(sets, chains, members):
    with Nfnetlink() as kernel:
        kernel.commit(in_family(messages_of(sets, chains, (), members)))


def read():
    return table.read_whole("mnp", custom="custom-", family=FAMILY)


def test_text_and_messages_say_the_same():
    common = evolve(
        BRIDGED.common,
        accept_icmp=True,
        accept_icmpv6=True,
        accept_multicast_management=True,
        denied_log=DeniedLog(),
    )
    sets, chains, members = stateless(evolve(BRIDGED, common=common))
    text = text_of(sets, chains, (), "bridge") + command("add", members, "bridge")

    def load():
        subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)
        return read()

    with private_namespace() as one, private_namespace() as other:
        sent = run_inside(one, lambda: (send(sets, chains, members), read())[1])
        loaded = run_inside(other, load)
    assert sent.content.digest() == loaded.content.digest() == TableDefinition(sets=sets, chains=chains).digest
    assert sent.members == loaded.members == members


def test_a_kernel_without_connection_tracking_on_bridges_says_so_and_keeps_the_rules():
    """S60, S64."""
    applier, render = NftablesApplier(), NftablesRenderer().render
    before = render(evolve(BRIDGED, interfaces=(interface("net1", ingress=DENY),)))
    obstacle = applier.obstacle(LinkPath.BRIDGED)
    with private_namespace() as pod:
        run_inside(pod, lambda: applier.apply(before))
        if obstacle:
            assert "load the module nf_conntrack_bridge (Linux 5.3)" in obstacle
            with pytest.raises(ApplyError, match="nf_tables refuses"):
                run_inside(pod, lambda: applier.apply(render(BRIDGED)))
            assert run_inside(pod, applier.installed).matches(before)
        else:
            run_inside(pod, lambda: applier.apply(render(BRIDGED)))
            assert run_inside(pod, applier.installed).matches(render(BRIDGED))
            run_inside(pod, lambda: applier.apply(before))
            assert run_inside(pod, applier.installed_paths) == frozenset()
            assert run_inside(pod, applier.installed).matches(before)


class Wire:
    """A guest behind a bridge in a pod, and a host outside; a veth in place of the guest's tap."""

    def __init__(self, cleanup):
        self.pod, self.guest, self.outside = (cleanup.enter_context(private_namespace()) for _ in range(3))
        veth_pair(End(self.pod, "net1-nic"), End(self.outside, "eth0", ("10.0.0.1/24",)))
        veth_pair(End(self.pod, "tap1"), End(self.guest, "eth0", ("10.0.0.2/24",)))
        bridge(self.pod, "k6t-net1", "net1-nic", "tap1")

    def enforce(self, **directions):
        rules = evolve(interface("net1", **directions), path=LinkPath.BRIDGED, carrier="net1-nic")
        run_inside(self.pod, lambda: send(*stateless(sandbox(rules))))

    def reaches(self, one, other, address):
        """Whether a datagram arrives."""
        with run_inside(other, lambda: _bound(address)) as receiver, run_inside(one, _bound) as sender:
            for _ in range(3):
                sender.sendto(b"?", (address, PORT))
                with suppress(TimeoutError):
                    return bool(receiver.recv(10))
        return False

    def arrives(self):
        return self.reaches(self.outside, self.guest, "10.0.0.2")

    def leaves(self):
        return self.reaches(self.guest, self.outside, "10.0.0.1")


def _bound(address=""):
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.settimeout(0.1)
    found.bind((address, PORT))
    return found


@pytest.fixture
def wire():
    with ExitStack() as cleanup:
        yield Wire(cleanup)


def test_frames_meet_the_rules_of_the_port_and_arp_passes(wire):
    """S11, S43: neighbours are found under closed policies, as a datagram arrives as soon as one is open."""
    wire.enforce(ingress=DENY, egress=DENY)
    assert (wire.arrives(), wire.leaves()) == (False, False)
    wire.enforce(ingress=isolated(allow(["10.0.0.1/32"], [f"UDP/{PORT}"])), egress=DENY)
    assert (wire.arrives(), wire.leaves()) == (True, False)
    wire.enforce(ingress=DENY, egress=OPEN)
    assert (wire.arrives(), wire.leaves()) == (False, True)
    counters = run_inside(wire.pod, NftablesApplier().counters)
    assert sum(each.packets for each in counters if each.label == "denied") > 0
