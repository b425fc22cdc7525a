"""`mnp trace`: one packet on its way through the rules of this node's pods, by the kernel's own tracing."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from mnp_core.cli.agent import socket_option
from mnp_core.cli.entrypoint import ANSWER_IS_BAD
from mnp_core.cli.helping import examples
from mnp_core.cli.options import Count, Output, Seconds, flow_options, output_option, probe_packet_option
from mnp_core.cli.terminal import print_json, print_line, remark
from mnp_core.node.status.client import Agent

Value = Mapping[str, Any]

_FLOW = "--from demo/client --to demo/web --port tcp:80"


@click.command(
    "trace",
    short_help="Follow a packet through the rules of pods.",
    epilog=examples(
        ("The way of the next packet of a flow, rule by rule:", f"mnp trace {_FLOW}"),
        ("Of a packet that is sent for it:", f"mnp trace {_FLOW} --probe"),
        ("The next five within a minute:", f"mnp trace {_FLOW} --packets 5 --seconds 60"),
    ),
)
@flow_options
@click.option(
    "--seconds",
    type=Seconds(min=0.5, max=60),
    default=10.0,
    show_default=True,
    help="The longest wait for packets.",
)
@click.option(
    "--packets",
    type=Count(1, 100),
    default=1,
    show_default=True,
    help="The most of each flow.",
)
@probe_packet_option
@socket_option
@output_option
def trace_command(  # each option is one
    *,
    source: str,
    destination: str,
    ports: tuple[str, ...],
    seconds: float,
    packets: int,
    sends: bool,
    path: Path,
    output: Output,
) -> int:
    """Follow packets of a flow through the rules of this node's pods, by the kernel's own tracing.

    Each rule that matches is printed in the words of policies, and those of others in the same network namespace by
    their place. Only packets of the flow are traced, from any source port, and no more than asked for: a temporary
    table marks them, which the kernel removes with the agent's socket, however that ends. No verdict changes.

    With --probe the agent sends a packet for it, as that of mnp compare. Ends with 1 if no packet came.
    """
    arguments = {"from": source, "to": destination, "ports": list(ports)}
    limits = {"seconds": seconds, "packets": packets, "probe": sends}
    found, lost = list[Value](), list[str]()
    for item in Agent(path).ask("trace", arguments | limits):
        if output is Output.TABLE:
            for line in _lines(item):
                print_line(line)
        found += [item["packet"]] if isinstance(item.get("packet"), dict) else []
        lost += [str(pod) for pod in item.get("lost") or ()]
    if output is Output.JSON:
        print_json({"packets": found, "lost": lost})
    if lost:
        remark(f"Warning: steps were lost in {', '.join(lost)}: too many packets at once")
    if not found:
        remark("No packet of this flow came.")
    return 0 if found else ANSWER_IS_BAD


def _lines(item: Value) -> Iterator[str]:
    match item:
        case {"tracing": {"pods": [*pods], "ways": [*ways]}}:
            yield f"Tracing {_flows(ways)} in {', '.join(map(str, pods))}"
        case {"probe": {"answer": answer, "source": source}}:
            yield f"A real packet was sent from {source}: {answer}"
        case {"packet": {"steps": [*steps]} as packet}:
            yield ""
            yield f"{packet.get('pod')}: {_packet(packet)}: {packet.get('verdict')}"
            yield from (f"  {_step(step)}" for step in steps)


def _flows(ways: Sequence[object]) -> str:
    known = (way for way in ways if isinstance(way, dict))
    return ", ".join(f"{way.get('from')} -> {way.get('address')} {_port(way)}" for way in known)


def _port(value: Value) -> str:
    return str(value.get("protocol")) + ("" if value.get("port") is None else f"/{value.get('port')}")


def _packet(packet: Value) -> str:
    port = "" if packet.get("source-port") is None else f" port {packet.get('source-port')}"
    flags = ",".join(map(str, packet.get("flags") or ()))
    words = f"{packet.get('source')}{port} -> {packet.get('destination')} {_port(packet)}"
    return f"{words} {flags}".rstrip()


def _step(step: Value) -> str:
    place = f"table {step.get('table')}, chain {step.get('chain')}"
    verdict = step.get("verdict") or "matches"
    if not step.get("ours"):
        what = f"rule {step.get('number')}" if step.get("step") == "rule" else f"end of chain ({step.get('step')})"
        return f"{place}: {what}: {verdict}"
    where = f"{str(step.get('direction')).lower()} of {step.get('interface')}: " if step.get("interface") else ""
    rule = step.get("rule")
    return f"{where}{_RULES.get(str(rule), f'allowed by {_named(str(rule))}') if rule else place}: {verdict}"


def _named(rule: str) -> str:
    return f"rule {rule}" if " " in rule else rule


_RULES = {
    "denied": "no rule of a policy allows it",
    "would-deny": "no rule of a policy in audit mode allows it",
    "established": "part of a connection that was allowed",
    "related": "related to a connection that was allowed",
    "neighbour-discovery": "neighbour discovery",
}
