"""Other engines on the same bed: changes and starts, detected by packets, and memory and idle processor time.

Programs named multi-networkpolicy-iptables and multi-networkpolicy-nftables in the folder that MNP_BENCH_PEERS names
take the same pods, policies and changes as our agent, which is measured beside them in the same run. What an engine has
not done after a minute, or a start after two, is not waited for: it is said to be unfinished.
"""

import time
from collections.abc import Iterator
from typing import Final

from benchmarks.bench.cluster import Cluster, cluster
from benchmarks.bench.enforced import Size, grown, measure_engine, started
from benchmarks.bench.engines import Engine, Running, ours, peers
from benchmarks.bench.local_pods import local_pods
from benchmarks.bench.measurement import Measurement
from benchmarks.bench.start import cold
from benchmarks.bench.verdicts import UnfinishedError, packets_to

PART: Final = "beside"
_QUICK: Final = (Size(10, 100, 2, 2),)
_SIZES: Final = (Size(30, 1_000, 2, 5), Size(100, 1_000, 2, 5))
_IDLE: Final = 10  # seconds


def measure(*, quick: bool) -> Iterator[Measurement]:
    """Each engine in each size."""
    engines = [ours(), *peers()]
    with cluster() as found:
        for size in grown(found, _QUICK if quick else _SIZES):
            for engine in engines:
                try:
                    yield from _engine(engine, found, size)
                except UnfinishedError as error:
                    print(f"{PART}: {engine.name}, {size}: {error}", flush=True)


def _engine(engine: Engine, found: Cluster, size: Size) -> Iterator[Measurement]:
    found.write_policies(size.per_pod)
    with local_pods(size.local) as pods, found.node(pods):
        yield from cold(PART, engine, found, size, pods)
        pods.forget_rules()
        with packets_to(pods.addresses(), pods.sender.path) as packets, started(engine, found, packets) as (running, _):
            yield from _rest(engine, size, running)
    yield from measure_engine(PART, engine, found, size)


def _rest(engine: Engine, size: Size, running: Running) -> Iterator[Measurement]:
    """Memory, and processor time while nothing happens."""
    time.sleep(_IDLE / 2)
    before = running.seconds_of_processor()
    time.sleep(_IDLE)
    idle = (running.seconds_of_processor() - before) / _IDLE * 100
    for name, field in (("resident", "Rss"), ("proportional", "Pss")):
        label = f"{engine.name}, {name} memory, {size}"
        yield Measurement(part=PART, name=label, unit="MiB", samples=[running.memory(field)])
    yield Measurement(part=PART, name=f"{engine.name}, idle, of a processor, {size}", unit="%", samples=[idle])
