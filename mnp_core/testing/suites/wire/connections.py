"""Whole connections, by the lab's prober: handshakes, answers, associations, where `hosts` sends first packets."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from mnp_core.model import ObjectName, Protocol
from mnp_core.offline.probe import Probe as Question
from mnp_core.offline.probe import ProbeVerdict
from mnp_core.testing.suites.wire.hosts import Probe
from mnp_core.testing.suites.wire.rig import Rig
from mnp_lab.prober import Prober

HASTY, PATIENT = 0.15, 2.0  # seconds


def wrong_connections(rig: Rig, expected: Mapping[Probe, bool]) -> dict[Probe, str]:
    """Open every connection; returns the unexpected results.

    A difference is tried again with more time, so that a slow machine does not count as a wrong answer.
    """
    with Prober(lambda pod: rig.sandbox(str(pod))) as prober:
        suspects = _differing(prober, expected, expected, HASTY)
        return _differing(prober, suspects, expected, PATIENT)


def _differing(
    prober: Prober, probes: Iterable[Probe], expected: Mapping[Probe, bool], timeout: float
) -> dict[Probe, str]:
    asked = [*probes]
    results = prober.run(map(_question, asked), timeout)
    verdicts = {probe: result.verdict for probe, result in zip(asked, results, strict=True)}
    return {p: v.value for p, v in verdicts.items() if v is not _verdict(reaches=expected[p])}


def _verdict(*, reaches: bool) -> ProbeVerdict:
    return ProbeVerdict.ALLOWED if reaches else ProbeVerdict.DENIED


def _question(probe: Probe) -> Question:
    source, destination = probe.source, probe.destination
    return Question(
        source=ObjectName(*source.pod.split("/")),
        source_interface=source.interface,
        source_address=ip_address(source.address),
        destination=ObjectName(*destination.pod.split("/")),
        network=ObjectName("", ""),
        interface=destination.interface,
        address=ip_address(destination.address),
        protocol=Protocol[probe.protocol],
        port=probe.port,
    )
