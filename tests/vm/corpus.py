"""States of a small cluster, for every kind of attachment: one network, three pods on it, a host that is no pod.

Each state is a set of policies; the real compiler makes each pod's rules from it.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from mnp_core.model import Direction, Packet, Policy, Protocol, SandboxPolicy, parse_address
from mnp_core.policy.evaluate import evaluate
from mnp_core.testing import builders as make
from mnp_core.testing.cluster import Cluster
from tests.vm.conversations import Question

PODS = ("web", "api", "job")
OUTSIDE = "outside"
ADDRESSES = {name: (f"10.0.0.{number}", f"fd00::{number}") for number, name in enumerate((*PODS, OUTSIDE), start=1)}


class Attached(NamedTuple):
    """A network, and where the pods have it."""

    network: str
    cni_type: str
    interface: str


def attached(number: int, cni_type: str) -> Attached:
    return Attached(f"lan{number}", cni_type, f"net{number}")


def states(network: str) -> dict[str, tuple[Policy, ...]]:
    """By name of the state; for this network."""
    on = {"networks": [network]}
    app = {name: make.selector(app=name) for name in PODS}
    web, api, job = (make.pods(app=name) for name in PODS)
    return {
        "closed": (make.policy(f"{network}-closed", **on, ingress=[], egress=[]),),
        "mixed": (
            make.policy(
                f"{network}-web",
                **on,
                selector=app["web"],
                ingress=[
                    make.rule([api], ["TCP/80", "UDP/54"]),  # a group (S20), ports (S30)
                    make.rule([make.block("10.0.0.0/24", "10.0.0.3/32")], ["UDP/53", "SCTP"]),  # S23
                    make.rule([make.block("fd00::4/128")]),  # S45: any protocol
                ],
            ),
            make.policy(
                f"{network}-api",
                **on,
                selector=app["api"],
                ingress=[make.rule([job]), make.rule([web], ["TCP/81", "UDP"])],
                egress=[
                    make.rule([web, job], ["TCP/http"]),  # S31: each pod serves it on another port
                    make.rule(None, ["UDP"]),
                ],
            ),
            make.policy(f"{network}-job", **on, selector=app["job"], ingress=[]),
            make.policy(
                f"{network}-job-again", **on, selector=app["job"], ingress=[make.rule([web], ["TCP/80"])]
            ),  # S11
        ),
    }


def cluster(networks: Sequence[Attached], policies: Iterable[Policy]) -> Cluster:
    """A cluster with all pods attached to these networks."""
    http = {"web": "TCP/80", "api": "TCP/80", "job": "TCP/81"}
    return Cluster(
        pods=tuple(
            make.pod(
                name,
                *(make.status(network, interface, *ADDRESSES[name]) for network, _, interface in networks),
                labels={"app": name},
                ports=[make.serves(http[name], "http")],
            )
            for name in PODS
        ),
        networks=tuple(make.network(network, cni_type) for network, cni_type, _ in networks),
        claimed=frozenset(network.cni_type for network in networks),
        policies=tuple(policies),
    )


def verdict(rules: Mapping[str, SandboxPolicy], question: Question) -> bool:
    """The verdict of `evaluate` at both ends, as far as these are pods."""
    ends = ((question.source, Direction.EGRESS), (question.destination, Direction.INGRESS))
    return all(passes(rules[place.name], place.interface, way, question) for place, way in ends if place.name in rules)


def passes(rules: SandboxPolicy, interface: str, direction: Direction, question: Question) -> bool:
    """The verdict of `evaluate` on the first packet, on one interface."""
    return evaluate(rules, interface, direction, packet(question)).allowed


@cache
def packet(question: Question) -> Packet:
    """The first packet of the conversation."""
    source, destination = question.source, question.destination
    protocol, icmp_type = _PROTOCOLS.get((question.protocol, source.version)) or (Protocol[question.protocol], None)
    return Packet(
        source=parse_address(source.address),
        destination=parse_address(destination.address),
        protocol=protocol,
        port=question.port,
        icmp_type=icmp_type,
    )


_PROTOCOLS = {("ICMP", 4): (Protocol.ICMP, 8), ("ICMP", 6): (Protocol.ICMPV6, 128)}
