"""`mnp compare`: the verdict on a flow against the kernels of this node's pods."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from mnp_core.cli.agent import socket_option
from mnp_core.cli.entrypoint import ANSWER_IS_BAD
from mnp_core.cli.formats.comparison import contradicts, pod_lines, way_lines
from mnp_core.cli.helping import examples
from mnp_core.cli.options import Output, Seconds, flow_options, output_option, probe_packet_option
from mnp_core.cli.terminal import print_json, print_line
from mnp_core.node.status.client import Agent

Value = Mapping[str, Any]

_LONGEST_SECONDS = 10.0


@click.command(
    "compare",
    short_help="Compare the verdict on a flow with the kernels of pods.",
    epilog=examples(
        ("Whether the kernels agree with the policies:", "mnp compare --from demo/client --to demo/web --port tcp:80"),
        (
            "The deciding counters, before and after five seconds:",
            "mnp compare --from demo/client --to demo/web --seconds 5",
        ),
        (
            "What becomes of a real packet:",
            "mnp compare --from demo/client --to demo/web --port tcp:80 --probe",
        ),
    ),
)
@flow_options
@click.option(
    "--seconds",
    type=Seconds(min=0, max=_LONGEST_SECONDS),
    default=0.0,
    show_default=True,
    help="Between two readings of the counters.",
)
@probe_packet_option
@socket_option
@output_option
def compare_command(
    *, source: str, destination: str, ports: tuple[str, ...], seconds: float, sends: bool, path: Path, output: Output
) -> int:
    """Compare the verdict on a flow with the kernels of this node's pods.

    The agent judges the flow by the policies of this moment, reads the rules and the members of address groups in the
    pods' own network namespaces, and says whether they are the same, with the counter of the rule that decides. An end
    on another node is for the agent there. Ends with 1 if a kernel differs.

    With --probe the agent sends a real packet from the pod --from, which has to be on this node: a TCP SYN, an empty
    UDP datagram, an SCTP INIT or an ICMP echo request. A connection that comes about is reset at once. The agent's log
    says that it was sent, and for which user. Ends with 1 if its fate contradicts the policies, too.
    """
    arguments = {"from": source, "to": destination, "ports": list(ports), "seconds": seconds}
    pods, ways = list[Value](), list[Value]()
    for item in Agent(path).ask("probe" if sends else "compare", arguments):
        pods += [item["pod"]] if isinstance(item.get("pod"), dict) else []
        ways += [item["way"]] if isinstance(item.get("way"), dict) else []
    if output is Output.JSON:
        print_json({"pods": pods, "ways": ways})
    else:
        for line in _lines(pods, ways, f"{source} and {destination}"):
            print_line(line)
    return 0 if all(pod.get("in-force") for pod in pods) and not any(map(contradicts, ways)) else ANSWER_IS_BAD


def _lines(pods: Sequence[Value], ways: Sequence[Value], ends: str) -> Iterator[str]:
    if not pods:
        yield f"{ends}: neither is a pod of this node with rules"
    for pod in pods:
        yield from pod_lines(pod)
    if not ways:
        yield f"{ends} share no network: there is no way between them"
    for way in ways:
        yield from way_lines(way)
