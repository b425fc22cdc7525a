"""The path of a packet under our rules, beside no rules, conntrack alone and the layouts of other engines.

Sender and receiver are namespaces joined by a veth, one pair for each layout; `packets.c` sends and receives in one
thread. Layouts are measured in turns; the ratio to conntrack alone in the same turn counts.
"""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import frozen

from benchmarks.bench.compiler import compiled
from benchmarks.bench.layouts import (
    INTERFACE,
    RECEIVER,
    SENDER,
    Policies,
    chains,
    conntrack,
    conntrack_by_iptables,
    linear,
    ours,
)
from benchmarks.bench.measurement import Measurement
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End, private_namespace, veth_pair
from mnp_iptables.applier import IptablesApplier
from mnp_iptables.render.renderer import IptablesRenderer
from mnp_iptables.restore.nft import NftRules
from mnp_nftables import NftablesApplier, NftablesRenderer

PART: Final = "packets"
_ALONE: Final = "conntrack alone"
_ALONE_IN_IPTABLES: Final = "iptables, conntrack alone"
_MODES: Final[Mapping[str, tuple[str, int]]] = {
    "tcp": ("new connection", 3_200),
    "new": ("first datagram of a flow", 12_800),
    "unanswered": ("verdict on a datagram", 25_600),
    "udp": ("datagram of an established flow", 25_600),
    "rtt": ("round trip of an established flow", 12_800),
}
_ROUNDS: Final = 15
_MEMBERS, _BLOCKS = (f"nftables, {Policies(1, 10_000, blocks=each)}" for each in (False, True))
_TARGETS: Final[Mapping[tuple[str, str], float]] = {
    ("tcp", "nftables, 1 policy, 10000 peers"): 1.03,
    ("tcp", "nftables, 100 policies, 100 peers"): 1.10,
    ("unanswered", "nftables, 1 policy, 10000 peers"): 1.03,
    ("unanswered", "nftables, 100 policies, 100 peers"): 1.10,
    ("udp", "nftables, 1 policy, 10000 peers"): 1.01,
    ("udp", "nftables, 100 policies, 100 peers"): 1.01,
}


@frozen
class _Pair:
    """Two namespaces, with the rules of a layout in the second one."""

    sender: str
    receiver: str


def measure(*, quick: bool) -> Iterator[Measurement]:
    """Each way of sending, under each layout."""
    rounds = 3 if quick else _ROUNDS
    with ExitStack() as stack:
        program = compiled(Path(__file__).with_suffix(".c"), Path(stack.enter_context(TemporaryDirectory())))
        pairs = {name: make_pair(stack, apply) for name, apply in _layouts(quick=quick)}
        for mode, (label, count) in _MODES.items():
            taken: dict[str, list[tuple[float, float]]] = {name: [] for name in pairs}
            for _ in range(rounds):
                for name, pair in pairs.items():
                    taken[name].append(run_program(program, pair, mode, count // 4 if quick else count))
            yield from _figures(mode, label, taken)


def _layouts(*, quick: bool) -> Iterator[tuple[str, Callable[[], object]]]:
    nftables, iptables = (NftablesRenderer(), NftablesApplier()), (IptablesRenderer(), IptablesApplier(NftRules()))
    yield "no rules", lambda: None
    yield _ALONE, conntrack()
    yield _ALONE_IN_IPTABLES, conntrack_by_iptables()
    sizes = [Policies(1, 100), Policies(10, 100)] if quick else [*_sizes()]
    for size in sizes:
        yield f"nftables, {size}", ours(size, *nftables)
        yield f"iptables, {size}", ours(size, *iptables)
        if size.blocks:
            continue
        yield f"per-policy chains, {size}", chains(size)
        yield f"linear lists, {size}", linear(size)


def _sizes() -> Iterator[Policies]:
    yield from (Policies(1, peers) for peers in (1, 100, 10_000))
    yield from (Policies(count, 100) for count in (10, 100))
    yield Policies(1, 10_000, blocks=True)


def make_pair(stack: ExitStack, apply: Callable[[], object]) -> _Pair:
    sender, receiver = (stack.enter_context(private_namespace()) for _ in range(2))
    veth_pair(End(sender, "out", (f"{SENDER}/8",)), End(receiver, INTERFACE, (f"{RECEIVER}/8",)))
    run_inside(receiver, apply)
    return _Pair(sender.path, receiver.path)


def run_program(program: Path, pair: _Pair, mode: str, count: int) -> tuple[float, float]:
    """Nanoseconds: median and 99th percentile."""
    command = [str(program), pair.sender, pair.receiver, str(RECEIVER), mode, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 # our own program
    if done.returncode:
        raise SystemExit(f"bench: packets {mode}: {done.stderr.strip()}")
    median, p99 = map(float, done.stdout.split())
    return median, p99


def _figures(mode: str, label: str, taken: Mapping[str, list[tuple[float, float]]]) -> Iterator[Measurement]:
    alone = taken[_ALONE]
    for name, found in taken.items():
        median, p99 = zip(*found, strict=True)
        yield Measurement(part=PART, name=f"{label}, {name}", unit="ns", samples=median)
        if mode == "rtt":
            yield Measurement(part=PART, name=f"{label}, 99th percentile, {name}", unit="ns", samples=p99)
        if name != _ALONE:
            ratios = [own / other for (own, _), (other, _) in zip(found, alone, strict=True)]
            target = _TARGETS.get((mode, name))
            yield Measurement(part=PART, name=f"{label}, {name}, by conntrack", unit="x", samples=ratios, target=target)
        if name.startswith("iptables") and name != _ALONE_IN_IPTABLES:
            ratios = [own / other for (own, _), (other, _) in zip(found, taken[_ALONE_IN_IPTABLES], strict=True)]
            yield Measurement(part=PART, name=f"{label}, {name}, by iptables' conntrack", unit="x", samples=ratios)
    if _BLOCKS in taken:
        pairs = zip(taken[_BLOCKS], taken[_MEMBERS], strict=True)
        ratios, target = [own / other for (own, _), (other, _) in pairs], 1.0 if mode == "unanswered" else None
        yield Measurement(part=PART, name=f"{label}, {_BLOCKS}, by peers", unit="x", samples=ratios, target=target)
