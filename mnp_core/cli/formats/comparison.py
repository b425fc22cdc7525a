"""A comparison of verdicts with kernels as lines for eyes: values of an agent, which may be of another version."""

from collections.abc import Iterator, Mapping
from typing import Any

Value = Mapping[str, Any]


def pod_lines(pod: Value) -> Iterator[str]:
    """A pod: whether its kernel has the wanted rules, and what differs."""
    name = f"{pod.get('namespace')}/{pod.get('name')}"
    if pod.get("in-force"):
        yield f"{name}: the kernel has the rules that policy wants ({pod.get('backend')}, digest {_digest(pod)})"
        return
    cause = pod.get("error") or f"digest {_digest(pod)} instead of {str(pod.get('wanted-digest'))[:12]}"
    yield f"{name}: the kernel DIFFERS from what policy wants: {cause}"
    for each in pod.get("sets") or ():
        names = ", ".join(map(str, [*each.get("missing-members", ()), *each.get("extra-members", ())]))
        yield f"  set {each.get('set')}: {each.get('missing')} missing, {each.get('extra')} too many: {names}"


def way_lines(way: Value, absent: str = "not on this node") -> Iterator[str]:
    """The verdict on one way, the deciding counters, and the packet that was sent.

    Args:
        way: As in the answer.
        absent: The words for an end that is not there.
    """
    port = "" if way.get("port") is None else f"/{way.get('port')}"
    flow = f"{way.get('from')} -> {way.get('to')} ({way.get('address')}) {way.get('protocol')}{port}"
    yield f"{flow} on {way.get('network')}: {way.get('verdict')}"
    for direction in ("egress", "ingress"):
        yield f"  {direction}: {_side(way.get(direction), absent)}"
    if isinstance(probe := way.get("probe"), Mapping):
        yield f"  {_probe(probe)}"


def contradicts(way: Value) -> bool:
    """Whether a packet was sent, and treated otherwise than the policies say."""
    probe = way.get("probe")
    return isinstance(probe, Mapping) and probe.get("agrees") is False


def _probe(probe: Value) -> str:
    answer, detail = str(probe.get("answer")), str(probe.get("detail") or "")
    came = _ANSWERS.get(answer, answer) + (f" ({detail})" if detail else "")
    if answer == "not-sent":
        return f"no packet was sent: {detail}"
    return f"a real packet was sent from {probe.get('source')}: {came}; {_AGREES[probe.get('agrees')]}"


_ANSWERS = {
    "answered": "answered",
    "refused": "it arrived, and nothing listens there",
    "rejected": "rejected by a packet filter",
    "unreachable": "unreachable",
    "silent": "no answer",
    "dropped": "dropped by the packet filter of its own pod",
}
_AGREES = {
    True: "as the policies say",
    False: "this CONTRADICTS the policies",
    None: "this does not tell whether it was let through",
}


def _digest(pod: Value) -> str:
    return str(pod.get("kernel-digest") or "none")[:12]


def _side(side: object, absent: str) -> str:
    if not isinstance(side, Mapping):
        return absent
    decided = f"{side.get('verdict')}, {side.get('standing')}"
    counter = side.get("counter")
    if not counter:
        return decided
    before, after = (_packets(side.get(when)) for when in ("before", "after"))
    return f"{decided}; counter {counter}: {before} packets, then {after}"


def _packets(count: object) -> str:
    return str(count.get("packets")) if isinstance(count, Mapping) else "unknown"
