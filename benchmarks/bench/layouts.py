"""The same policies as rules: ours, conntrack alone, and the layouts that two other engines produce.

Every policy allows TCP and UDP port 8080 from peers of its own; the sender is a peer of the last one. The other layouts
are written after the public output of their engines, see docs/performance.md.
"""

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from attrs import frozen

from mnp_core.api import PolicyRenderer, RuleApplier
from mnp_core.model import (
    AddressGroup,
    Allow,
    Block,
    Direction,
    InterfacePolicy,
    Isolated,
    ObjectName,
    ObjectRef,
    Origin,
    Peers,
    PortRange,
    Ports,
    Protocol,
    SandboxPolicy,
)

SENDER, RECEIVER, INTERFACE, PORT = IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1"), "net1", 8080
_LETTERS: Final = str.maketrans("0123456789", "abcdefghij")  # identities of groups are base 32
_FIRST: Final = IPv4Address("10.128.0.0")
_FIRST_BLOCK: Final = IPv4Address("11.0.0.0")
_LENGTHS: Final = (24, 24, 24, 25, 26, 28, 32)
CONNTRACK: Final = """table inet bench {
 chain input { type filter hook input priority 0; ct state established,related accept; ct state new accept; }
}
"""

CONNTRACK_BY_IPTABLES: Final = """*filter
:INPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack --ctstate NEW -j ACCEPT
COMMIT
"""


@frozen
class Policies:
    """A number of policies, with so many peers each; with `blocks` these are CIDRs."""

    count: int
    peers: int
    blocks: bool = False

    def __str__(self) -> str:
        """As it stands in the table."""
        kind = "blocks" if self.blocks else "peers"
        return f"{self.count} {'policy' if self.count == 1 else 'policies'}, {self.peers} {kind}"

    def members(self) -> Iterator[list[IPv4Address]]:
        """The peers of each policy; the sender is the last one of the last policy."""
        for number in range(self.count):
            found = [_FIRST + number * self.peers + peer for peer in range(self.peers)]
            if number == self.count - 1:
                found[-1] = SENDER
            yield found


def _cidrs(members: list[IPv4Address]) -> tuple[Block, ...]:
    """A network for each peer, of lengths as they are found in lists of them, none beside the next one."""
    networks = [
        IPv4Network((_FIRST_BLOCK + (number << 9), _LENGTHS[number % len(_LENGTHS)])) for number in range(len(members))
    ]
    networks[-1] = IPv4Network((SENDER, 24), strict=False)
    return tuple(Block(cidr=network) for network in networks)


def ours(policies: Policies, renderer: PolicyRenderer, applier: RuleApplier) -> Callable[[], object]:
    """Apply by one of our backends; to call inside of the receiver's namespace."""
    every = {f"{number:020d}".translate(_LETTERS): members for number, members in enumerate(policies.members())}
    groups = {} if policies.blocks else every
    ports = Ports(
        ranges=tuple(PortRange(protocol=each, first=PORT, last=PORT) for each in (Protocol.TCP, Protocol.UDP))
    )
    peers = (
        Peers(blocks=_cidrs(members), list_id=name) if policies.blocks else Peers(groups=(name,))
        for name, members in every.items()
    )
    allows = tuple(
        Allow(peers=each, ports=ports, origin=_origin(name)) for name, each in zip(every, peers, strict=True)
    )
    wanted = SandboxPolicy(
        pod=ObjectName("default", "pod"),
        interfaces=(InterfacePolicy(interface=INTERFACE, ingress=Isolated(allows=allows)),),
        groups={name: AddressGroup(id=name, members=frozenset(members)) for name, members in groups.items()},
    )
    return partial(applier.apply, renderer.render(wanted))


def _origin(name: str) -> Origin:
    policy = ObjectRef("MultiNetworkPolicy", ObjectName("default", name))
    return Origin(policy=policy, direction=Direction.INGRESS, rule=0)


def conntrack() -> Callable[[], object]:
    """Connection tracking, and nothing decided by anything else."""
    return partial(_run, ("nft", "-f", "-"), CONNTRACK)


def conntrack_by_iptables() -> Callable[[], object]:
    """The same by iptables' own match: the floor of that backend."""
    return partial(_run, ("iptables-nft-restore",), CONNTRACK_BY_IPTABLES)


def linear(policies: Policies) -> Callable[[], object]:
    """Rule lists of iptables: one rule per peer address, marks for ports and peers, a policy after the other."""
    lines = ["*filter", ":INPUT ACCEPT [0:0]", ":MULTI-INGRESS - [0:0]", ":MULTI-COMMON - [0:0]"]
    names = [f"MULTI-{number}-INGRESS" for number in range(policies.count)]
    lines += [f":{name}{part} - [0:0]" for name in names for part in ("", "-PORTS", "-FROM")]
    lines += [f"-A INPUT -i {INTERFACE} -j MULTI-INGRESS"]
    lines += ["-A MULTI-COMMON -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]
    for name, members in zip(names, policies.members(), strict=True):
        lines += [
            f"-A MULTI-INGRESS -j {name}",
            "-A MULTI-INGRESS -m mark --mark 0x30000/0x30000 -j RETURN",
            f"-A {name} -j MARK --set-xmark 0x0/0x30000",
            f"-A {name} -j MULTI-COMMON",
            f"-A {name} -j {name}-PORTS",
            f"-A {name} -j {name}-FROM",
            f"-A {name} -m mark --mark 0x30000/0x30000 -j RETURN",
        ]
        lines += [
            f"-A {name}-PORTS -p {protocol} -m {protocol} --dport {PORT} -j MARK --set-xmark 0x10000/0x10000"
            for protocol in ("tcp", "udp")
        ]
        sources = [RECEIVER, *members]
        lines += [f"-A {name}-FROM -s {each}/32 -j MARK --set-xmark 0x20000/0x20000" for each in sources]
    lines += ["-A MULTI-INGRESS -j DROP", "COMMIT", ""]
    return partial(_run, ("iptables-legacy-restore", "-w"), "\n".join(lines))


def chains(policies: Policies) -> Callable[[], object]:
    """Chains of nftables, one per policy, with sets of peers."""
    sets, bodies, jumps = [], [], []
    for number, members in enumerate(policies.members()):
        elements = ", ".join(map(str, members))
        sets += [f" set s{number} {{ type ipv4_addr; elements = {{ {elements} }} }}"]
        match = f"iifname {INTERFACE} ip saddr @s{number}"
        bodies += [f" chain p{number} {{", f"  ip saddr {RECEIVER} accept"]
        bodies += [f"  {match} {protocol} dport {{ {PORT} }} accept" for protocol in ("tcp", "udp")]
        bodies += [" }"]
        jumps += [f"  jump p{number}"]
    lines = ["table inet bench {", f" set nets {{ type ifname; elements = {{ {INTERFACE} }} }}", *sets, *bodies]
    lines += [" chain common { }", " chain ingress {", "  ct state established,related accept", "  jump common", *jumps]
    lines += ["  drop", " }", " chain input {", "  type filter hook input priority 0;"]
    lines += ["  iifname @nets jump ingress", " }", "}", ""]
    return partial(_run, ("nft", "-f", "-"), "\n".join(lines))


def _run(command: tuple[str, ...], text: str) -> None:
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)  # noqa: S603 # our own text
    if done.returncode:
        raise SystemExit(f"bench: {command[0]}: {done.stderr[:500]}")
