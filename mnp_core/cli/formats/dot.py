"""Allowed flows as a graph in the language of Graphviz."""

from collections import defaultdict
from collections.abc import Iterable

from mnp_core.cli.formats.lines import by_pair, dual_networks, network_text, ports_text
from mnp_core.cli.formats.printing import printable
from mnp_core.model import ObjectName
from mnp_core.offline.reach import Answer
from mnp_core.policy.explain import WOULD_DENY


def dot_text(answers: Iterable[Answer]) -> str:
    """A directed graph: ends in boxes by namespace, an edge for each pair with an allowed port.

    Allowed ports that policies in audit mode would deny have a dashed edge of their own.
    """
    pairs = by_pair(answers)
    dual = dual_networks(pairs)
    ends = sorted({end for pair in pairs for end in (pair.source, pair.destination)})
    lines = ["digraph mnp {", "  rankdir=LR;", "  node [shape=box];", *_nodes(ends)]
    for pair, ports in pairs.items():
        edge = f"  {quoted(str(pair.source))} -> {quoted(str(pair.destination))}"
        network = network_text(pair, dual)
        if kept := [spec for spec in ports.allowed if spec not in ports.would_deny]:
            lines.append(f"{edge} [label={quoted(f'{network}: {ports_text(kept)}')}];")
        if ports.would_deny:
            label = quoted(f"{network}, {WOULD_DENY}: {ports_text(ports.would_deny)}")
            lines.append(f"{edge} [label={label}, style=dashed];")
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
