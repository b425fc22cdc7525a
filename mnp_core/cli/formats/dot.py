"""Allowed flows as a graph in the language of Graphviz."""

from collections import defaultdict
from collections.abc import Iterable

from mnp_core.cli.formats.lines import by_pair, dual_networks, network_text, ports_text
from mnp_core.cli.formats.printing import printable
from mnp_core.model import ObjectName
from mnp_core.offline.reach import Answer


def dot_text(answers: Iterable[Answer]) -> str:
    """A directed graph: ends in boxes by namespace, an edge for each pair with an allowed port."""
    pairs = by_pair(answers)
    dual = dual_networks(pairs)
    ends = sorted({end for pair in pairs for end in (pair.source, pair.destination)})
    lines = ["digraph mnp {", "  rankdir=LR;", "  node [shape=box];", *_nodes(ends)]
    for pair, ports in pairs.items():
        if ports.allowed:
            label = quoted(f"{network_text(pair, dual)}: {ports_text(ports.allowed)}")
            lines.append(f"  {quoted(str(pair.source))} -> {quoted(str(pair.destination))} [label={label}];")
    return "\n".join([*lines, "}", ""])


def _nodes(ends: Iterable[ObjectName]) -> Iterable[str]:
    by_namespace: dict[str, list[ObjectName]] = defaultdict(list)
    for end in ends:
        by_namespace[end.namespace].append(end)
    for number, (namespace, names) in enumerate(sorted(by_namespace.items())):
        yield f"  subgraph cluster_{number} {{"
        yield f"    label={quoted(namespace or 'outside of the cluster')};"
        yield from (f"    {quoted(str(name))} [label={quoted(name.name)}];" for name in names)
        yield "  }"


def quoted(text: str) -> str:
    """A quoted string: of the escapes of Graphviz only those of quotes and backslashes remain."""
    plain = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'
