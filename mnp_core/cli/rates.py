"""Rates of rules, from two answers about their counters. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mnp_core.classes import frozen

Key = tuple[str, str, str, str]
"""Pod, interface, direction and rule."""


@frozen(kw_only=True, order=True)
class Count:
    """A counter at a time (seconds of the agent's clock)."""

    at: float
    packets: int
    bytes: int


@frozen(kw_only=True)
class Rate:
    """The rate of one rule.

    Attributes:
        pod: Namespace and name.
        interface: In the pod; empty for all of them together.
        direction: ``Ingress`` or ``Egress``.
        rule: A rule of a policy, or ``established``, ``denied`` and the like.
        packets: Since the rules were written.
        bytes: Likewise.
        packets_per_second: Between the two answers.
        bytes_per_second: Likewise.
    """

    pod: str
    interface: str
    direction: str
    rule: str
    packets: int
    bytes: int
    packets_per_second: float
    bytes_per_second: float

    def as_json(self) -> dict[str, object]:
        """For JSON."""
        return {
            "pod": self.pod,
            "interface": self.interface,
            "direction": self.direction,
            "rule": self.rule,
            "packets": self.packets,
            "bytes": self.bytes,
            "packets-per-second": round(self.packets_per_second, 3),
            "bytes-per-second": round(self.bytes_per_second, 3),
        }


def counts_of(pods: Iterable[Mapping[str, Any]]) -> dict[Key, Count]:
    """The counters of an answer."""
    return {
        (f"{pod['namespace']}/{pod['name']}", rule["interface"], rule["direction"], rule["rule"]): Count(
            at=pod["at"], packets=rule["packets"], bytes=rule["bytes"]
        )
        for pod in pods
        for rule in pod["rules"]
    }


def rates(before: Mapping[Key, Count], now: Mapping[Key, Count]) -> Iterator[Rate]:
    """The rate of each rule that is there now, the busiest first; new and rewritten rules began with zero."""
    found = [_rate(key, before.get(key), count) for key, count in now.items()]
    return iter(sorted(found, key=lambda rate: (-rate.packets_per_second, -rate.packets, rate.pod)))


def _rate(key: Key, before: Count | None, now: Count) -> Rate:
    packets, octets, seconds = 0, 0, 0.0
    if before is not None and before.at < now.at:
        restarted = now.packets < before.packets
        packets = now.packets - (0 if restarted else before.packets)
        octets = now.bytes - (0 if restarted else before.bytes)
        seconds = now.at - before.at
    return Rate(
        pod=key[0],
        interface=key[1],
        direction=key[2],
        rule=key[3],
        packets=now.packets,
        bytes=now.bytes,
        packets_per_second=packets / seconds if seconds else 0.0,
        bytes_per_second=octets / seconds if seconds else 0.0,
    )
