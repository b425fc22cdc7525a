"""The answer of `mnp status` for eyes: a line on the node, a row for each interface, then what is wrong.

The answer is an agent's, of another version perhaps: nothing is taken for granted in it but the form that JSON has.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from mnp_core.cli.formats.columns import age, in_columns

Value = Mapping[str, Any]

_HEADS: Final = ("POD", "INTERFACE", "NETWORK", "INGRESS", "EGRESS", "STATE", "SINCE", "PROBLEMS")
_WIDE_HEADS: Final = (
    *("POD", "INTERFACE", "NETWORK", "INGRESS", "EGRESS", "STATE", "SINCE", "CHANGE", "BEFORE", "TOOK"),
    *("BACKEND", "DIGEST", "MEMBERS", "LINES", "PROBLEMS", "NETNS"),
)
_MOST_FINDINGS: Final = 20  # lines below the table
_DIGEST: Final = 12  # characters of it


def node_line(node: Value) -> str:
    """A line on the node."""
    counts = (
        _count(node.get("pods"), "pod"),
        f"{node.get('enforced')} with rules in force",
        _count(node.get("policies"), "policy", "policies"),
        f"{_count(node.get('groups'), 'address group')} with {_count(node.get('members'), 'member')}",
        _count(node.get("problems"), "problem"),
    )
    state = "ready" if node.get("ready") else f"not ready ({node.get('readiness')})"
    up = age(node.get("started-at"), node.get("time"))
    head = f"{node.get('name')}: {state}, backend {node.get('backend')}, version {node.get('version')}, up {up}"
    return f"{head}; {', '.join(counts)}"


def table(node: Value, pods: Iterable[Value], *, wide: bool) -> Iterator[str]:
    """The lines of the table."""
    rows = (row for pod in pods for row in _rows(pod, node.get("time"), wide=wide))
    return in_columns(_WIDE_HEADS if wide else _HEADS, rows)


def findings(pods: Sequence[Value], most: int | None = _MOST_FINDINGS) -> Iterator[str]:
    """Failures and problems of pods, a line each; at most so many."""
    lines = [line for pod in pods for line in _findings(pod)]
    yield from lines[:most]
    if most is not None and len(lines) > most:
        yield f"and {len(lines) - most} more: see them with -o wide, or all fields with -o json"


def pod_name(pod: Value) -> str:
    """Namespace and name."""
    return f"{pod.get('namespace')}/{pod.get('name')}"


def _rows(pod: Value, now: object, *, wide: bool) -> Iterator[list[str]]:
    state, since = str(pod.get("condition")), age(pod.get("in-force-since"), now)
    problems = [each for each in _all(pod, "problems") if each.get("severity") == "problem"]
    ends = [state, since, *(_wide_cells(pod, now) if wide else ()), str(len(problems) or "")]
    ends += [str(pod.get("netns") or "")] if wide else []
    for interface in [*_all(pod, "interfaces")] or [{}]:
        yield [
            pod_name(pod),
            _interface(interface),
            str(interface.get("network", "")),
            *(_direction(interface.get(way), wide=wide) for way in ("ingress", "egress")),
            *ends,
        ]


def _interface(interface: Value) -> str:
    """Its name, and how its packets travel if that is not the ordinary way."""
    name, path = str(interface.get("interface", "")), str(interface.get("path") or "ip")
    return name if path == "ip" else f"{name} ({path}: {interface.get('carrier')})"


def _wide_cells(pod: Value, now: object) -> list[str]:
    change = _mapping(pod.get("last-change"))
    took = change.get("seconds")
    members = sum(int(group.get("members", 0)) for group in _all(pod, "groups"))
    return [
        str(change.get("result", "")),
        age(change.get("at"), now),
        f"{took * 1000:.1f}ms" if isinstance(took, int | float) else "",
        str(pod.get("backend") or ""),
        str(pod.get("digest") or "")[:_DIGEST],
        str(members),
        str(pod.get("lines", "")),
    ]


def _direction(value: object, *, wide: bool) -> str:
    direction = _mapping(value)
    if not direction:
        return ""
    enforced, audited = (
        [str(name).rpartition(" ")[2] for name in direction.get(key) or ()] for key in ("policies", "audit-policies")
    )
    if wide:
        return ",".join([*enforced, *(f"{name}(audit)" for name in audited)]) or "open"
    counts = (f"{word}:{len(names)}" for word, names in (("isolated", enforced), ("audited", audited)) if names)
    return ",".join(counts) or "open"


def _findings(pod: Value) -> Iterator[str]:
    if error := pod.get("error"):
        yield f"{pod_name(pod)}: {pod.get('condition')}: {error}"
    for problem in _all(pod, "problems"):
        place = f" {problem.get('field')}" if problem.get("field") else ""
        words = f"{problem.get('message')}. {problem.get('remedy')}."
        yield f"{pod_name(pod)}: {problem.get('reason')}: {problem.get('kind')} {problem.get('name')}{place}: {words}"


def _all(value: Value, key: str) -> Iterator[Value]:
    found = value.get(key)
    return (each for each in found if isinstance(each, Mapping)) if isinstance(found, list) else iter(())


def _mapping(value: object) -> Value:
    return value if isinstance(value, Mapping) else {}


def _count(number: object, noun: str, nouns: str = "") -> str:
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"
