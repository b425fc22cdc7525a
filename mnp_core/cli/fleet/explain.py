"""`kubectl mnp explain`: why one pod reaches another by the API's objects, and whether the kernels agree."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from mnp_core.cli.entrypoint import ANSWER_IS_BAD, NOT_DONE
from mnp_core.cli.explain import Explained, judge
from mnp_core.cli.fleet.options import Agents, agents_options, remark_failures
from mnp_core.cli.helping import examples
from mnp_core.cli.objects import Objects
from mnp_core.cli.options import Output, flow_options, output_option, paths_argument, registry_of, settings_file_option
from mnp_core.cli.source import Access, Source, paths_or_cluster, source_options
from mnp_core.cli.terminal import print_json, print_line, remark_reports
from mnp_core.settings import Settings

if TYPE_CHECKING:
    from mnp_core.cli.fleet.kernels import Compared

_FLOW = "--from shop/client --to shop/web --port tcp:80"


@click.command(
    "explain",
    short_help="Say why a pod reaches another, or does not.",
    epilog=examples(
        ("Why client reaches port 80 of web, or does not, by the API's objects", f"kubectl mnp explain {_FLOW}"),
        ("Whether the kernels of both pods agree", f"kubectl mnp explain {_FLOW} --node"),
        ("What becomes of a real packet", f"kubectl mnp explain {_FLOW} --node --probe"),
        ("With a change that is not applied yet", f"kubectl mnp explain policies {_FLOW}"),
    ),
)
@paths_argument(required=False)
@flow_options
@click.option("--node", "asks", is_flag=True, help="Compare with the kernels of both pods.")
@click.option("--probe", "sends", is_flag=True, help="With --node: send one real packet on each way.")
@source_options
@output_option
@settings_file_option
@agents_options
@click.pass_context
@paths_or_cluster
def explain_command(  # noqa: PLR0913 # each option is one
    context: click.Context,
    *,
    origin: Source,
    source: str,
    destination: str,
    ports: tuple[str, ...],
    asks: bool,
    sends: bool,
    output: Output,
    settings: Settings,
    agents: Agents,
) -> int:
    """Say why a pod reaches another over its secondary networks, or why it does not, by the API's objects.

    With --node also by the kernels of both pods: runs mnp compare in the containers of the agents of their nodes, by
    kubectl exec, and says where rules, members of address groups, verdict or counters differ. With --probe the agent of
    the source's node sends a real packet from that pod. Ends with 1 if something differs or a node does not answer,
    with 2 if none does.
    """
    if sends and not asks:
        raise click.UsageError("--probe is sent by the agent of a node: add --node.")
    if asks and origin.paths:
        raise click.UsageError("--node compares the kernels with the cluster as it is: leave out the manifests.")
    objects = origin.read(registry_of(context, settings), settings)
    answer = judge(objects, source, destination, ports, origin.home)
    compared = None
    if asks and answer.explanations:
        compared = _compare(agents, origin.access or Access(), objects, answer, sends=sends)
    if output is Output.JSON:
        print_json({**answer.as_json(), "compared": compared.as_json() if compared is not None else None})
    else:
        remark_reports(answer.reports)
        click.echo(answer.words())
        for line in _lines(compared) if compared is not None else ():
            print_line(line)
    return _status(compared) if compared is not None else 0


def _compare(agents: Agents, access: Access, objects: Objects, answer: Explained, *, sends: bool) -> "Compared":
    from mnp_core.cli.fleet.kernels import Question, compare  # noqa: PLC0415 # with --node alone

    question = Question.of(answer, objects.pods)
    fleet = agents.fleet(access.kubeconfig, access.context, question.nodes)
    return compare(fleet, question, answer, sends=sends)


def _lines(compared: "Compared") -> Iterator[str]:
    from mnp_core.cli.fleet.answers import clean  # noqa: PLC0415 # with --node alone
    from mnp_core.cli.formats.comparison import pod_lines, way_lines  # noqa: PLC0415 # likewise

    yield ""
    for pod in clean(compared.pods):
        yield from (f"{pod['node']}: {line}" for line in pod_lines(pod))
    for way in clean(compared.ways):
        yield from way_lines(way, absent="not judged by any kernel that has answered")
    remark_failures(compared.failures)
    yield ""
    yield from (f"DIFFERS: {text}" for text in clean(compared.differences))
    if not compared.differences and not compared.failures:
        yield "The kernels agree with the objects."


def _status(compared: "Compared") -> int:
    if compared.failures and not compared.pods:
        return NOT_DONE
    return ANSWER_IS_BAD if compared.differences or compared.failures else 0
