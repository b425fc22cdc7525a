"""Observations for tests."""

from pathlib import Path

from mnp_core.offline.probe import ProbeVerdict, parse_probe


def mounts_below(path):
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {path}/" in line]


def pairs(lab, timeout=0.3):
    """Who reaches whom over TCP."""
    results = lab.probe(lab.plan_probes([parse_probe("tcp:80")]), timeout)
    return {(r.probe.source.name, r.probe.destination.name) for r in results if r.verdict is ProbeVerdict.ALLOWED}
