"""`mnp denied`: packets that rules of this node have denied, and policies that would let them pass."""

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import IO, Any, Final

import click

from mnp_core.cli.agent import Question, question_options
from mnp_core.cli.attended import exit_without_caller
from mnp_core.cli.helping import examples
from mnp_core.cli.options import Seconds, form_option
from mnp_core.cli.terminal import print_line, remark, without_controls
from mnp_core.errors import InputError

_LONGEST_LINE: Final = 1 << 20  # characters of a line of --input
_MOST_LINES: Final = 1_000_000
_REVIEW: Final = """\
# Suggested by mnp denied --suggest for {packets} packets: review before use.
# A peer is every pod with its labels. A policy isolates all pods with the labels of its podSelector.
"""


class DeniedForm(StrEnum):
    """The form of the packets."""

    TEXT = "text"
    JSON = "json"


since_option = click.option(
    "--since",
    type=Seconds(min=0),
    metavar="SECONDS",
    help="Only packets of the last SECONDS, of those that are kept; with --follow before the new ones.",
)


@click.command(
    "denied",
    short_help="Print packets that were denied on this node.",
    epilog=examples(
        ("The last packets of each pod", "mnp denied"),
        ("Those of a namespace as they come, one JSON value a line", "mnp denied -f -n shop -o json"),
        ("Those of the last minute, and then as they come", "mnp denied -f --since 60"),
        ("Policies that would let the last flows to a pod pass", "mnp denied --pod shop/web --suggest"),
        ("The same for packets of -o json from standard input", "mnp denied --suggest --input -"),
    ),
)
@question_options
@form_option(DeniedForm, "A line for each packet, or one JSON value a line with every field.")
@click.option("--follow", "-f", is_flag=True, help="Packets as they are denied, until Ctrl-C.")
@since_option
@click.option(
    "--attended",
    is_flag=True,
    hidden=True,  # of `kubectl mnp denied`
    help="With --follow: JSON with empty lines as signs of life, while standard input has some, too.",
)
@click.option("--suggest", is_flag=True, help="The smallest policies that let the flows pass, as YAML for review.")
@click.option(
    "--input",
    "source",
    type=click.File(encoding="utf-8", errors="replace"),
    metavar="FILE",
    help="With --suggest: packets of a file with the output of -o json, - for standard input.",
)
def denied_command(
    *,
    question: Question,
    form: str,
    follow: bool,
    since: float | None,
    attended: bool,
    suggest: bool,
    source: IO[str] | None,
) -> None:
    """Print packets that were denied on this node.

    The agent keeps the last 50 of each pod, within the limits of its setting denied-log-rate. The settings of the node
    (log-denied) or the annotation mnp.k8s.cni.cncf.io/log-denied of a namespace turn the log on. Run it as root on a
    node, in the agent's container.

    `--suggest` writes policies for review: it knows the packets, not whether they are wanted.
    """
    if source is not None and since is not None:
        raise click.UsageError("--since is for packets that the agent keeps, not for --input: leave one of them out.")
    if suggest:
        refuse_beside_suggest(form, follow=follow)
        print_suggestion(_records(source) if source is not None else _packets(question, "denied", since))
        return
    if source is not None:
        raise click.UsageError("--input is for --suggest: it reads packets that are written down.")
    if attended:
        _attend(question, since)
        return
    for packet in _packets(question, "denied-follow" if follow else "denied", since):
        _show(packet, DeniedForm(form))


def _attend(question: Question, since: float | None) -> None:
    """Print packets, ``{"missed": …}`` and signs of life, a line each."""
    exit_without_caller()
    for item in question.ask("denied-follow", _arguments(since), beats=True):
        click.echo(json.dumps(item.get("packet", item)) if item else "")


def refuse_beside_suggest(form: str, *, follow: bool) -> None:
    """Refuse options without a meaning beside ``--suggest``; raises UsageError."""
    if follow:
        raise click.UsageError("--suggest is for packets that are known, not for --follow: leave one of them out.")
    if form == DeniedForm.JSON:
        raise click.UsageError("--suggest prints policies in YAML: leave --output out.")


def _packets(question: Question, request: str, since: float | None) -> Iterator[Mapping[str, Any]]:
    for item in question.ask(request, _arguments(since)):
        if isinstance(missed := item.get("missed"), int):
            remark(f"Warning: {missed_words(missed)}")
        if isinstance(packet := item.get("packet"), dict):
            yield packet


def _arguments(since: float | None) -> dict[str, float]:
    return {} if since is None else {"since-seconds": since}


def missed_words(missed: int) -> str:
    """Packets that could not be printed in time."""
    return f"{missed} packets were left out: the reader is too slow"


def _records(source: IO[str]) -> Iterator[object]:
    for number in range(1, _MOST_LINES + 1):
        if not (line := source.readline(_LONGEST_LINE)):
            return
        if line.strip():
            yield _record(line, f"{source.name}, line {number}")
    raise InputError(f"has more than {_MOST_LINES:,} lines: take the last ones", where=source.name)


def _record(line: str, where: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError("is no JSON: write one packet a line, as mnp denied -o json does", where=where) from error


# --- packets --------------------------------------------------------------------------------------------------------


def _show(packet: Mapping[str, Any], form: DeniedForm) -> None:
    if form is DeniedForm.JSON:
        click.echo(json.dumps(packet))
    else:
        print_line(" ".join(filter(None, packet_words(packet))))


def packet_words(packet: Mapping[str, Any]) -> Iterator[str]:
    """The parts of a line: when, whose rules, what, and by which policies."""
    yield str(packet.get("time", ""))
    yield f"{packet.get('verdict')} {packet.get('direction')} {packet.get('pod')} {packet.get('interface')}"
    yield str(packet.get("protocol", ""))
    peer, inward = packet.get("peer"), packet.get("direction") == "ingress"
    yield _end(packet.get("source"), packet.get("source_port"), peer if inward else None)
    yield ">"
    yield _end(packet.get("destination"), packet.get("destination_port"), None if inward else peer)
    yield _joined(packet.get("tcp_flags"))
    if "icmp_type" in packet:
        yield f"type {packet['icmp_type']} code {packet.get('icmp_code')}"
    if policies := _joined(packet.get("policies")):
        yield f"by {policies}"


def _end(address: object, port: object, pod: object) -> str:
    at = str(address) if port is None else f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"
    return at if pod is None else f"{at} ({pod})"


def _joined(values: object) -> str:
    return ",".join(map(str, values)) if isinstance(values, list) else ""


# --- policies -------------------------------------------------------------------------------------------------------


def print_suggestion(records: Iterator[object]) -> None:
    """Print the policies that would let packets pass, as YAML."""
    import yaml  # noqa: PLC0415 - the other forms start sooner

    from mnp_core.offline.suggestion import suggest  # noqa: PLC0415 - likewise

    found = suggest(records)
    for reason, number in found.left_out.items():
        remark(f"Left out: {number} packets {reason}")
    if not found.policies:
        remark("There is no flow to suggest a policy for.")
        return
    documents = yaml.safe_dump_all(found.policies, sort_keys=False, explicit_start=True)
    click.echo(without_controls(_REVIEW.format(packets=found.packets) + documents), nl=False)
