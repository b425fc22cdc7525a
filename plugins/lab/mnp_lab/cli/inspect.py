"""`mnp lab get` and `mnp lab exec`: look at a lab that is up, and into its pods."""

from collections.abc import Callable, Sequence
from functools import partial

import click

from mnp_core.cli.helping import examples
from mnp_core.cli.names import parse_object_name
from mnp_core.cli.options import Output, namespace_option, output_option, registry_of
from mnp_core.cli.terminal import print_json, remark, results
from mnp_core.errors import MnpError
from mnp_core.model import ObjectName, ObjectRef
from mnp_core.plugins import Registry
from mnp_lab.cli.enforcement import is_enforced, name_option, open_lab, remembered_backend
from mnp_lab.exec import NoSuchProgramError, NotExecutableError, Program, wait
from mnp_lab.lab import Lab
from mnp_lab.topology import PodLink, PodPlan

_WIDE = 10_000  # columns, for a reader that is no terminal: nothing is cut


@click.command(
    "get",
    short_help="Show labs, their pods and addresses.",
    epilog=examples(
        ("All labs that are up:", "mnp lab get"),
        ("One of them, for a program:", "mnp lab get --name mine --output json"),
    ),
)
@click.option("--name", metavar="LAB", envvar="MNP_LAB", help="Which lab; also MNP_LAB. [default: all]")
@output_option
def get_command(name: str | None, output: Output) -> None:
    """Show the labs that are up: their pods with interfaces and addresses, and their other objects."""
    labs = [Lab.open(each) for each in ([name] if name else Lab.names())]
    if output is Output.JSON:
        print_json({"labs": [*map(_as_json, labs)]})
        return
    for lab in labs:
        _print(lab)
    if not labs:
        remark("No lab is up: `mnp lab up PATH...` builds one.")


_ITSELF_FAILED, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127  # as `docker exec` and `kubectl exec` have them


@click.command(
    "exec",
    short_help="Run a program in a pod.",
    context_settings={"allow_interspersed_args": False},
    epilog=examples(
        ("The addresses of a pod:", "mnp lab exec demo/web ip address"),
        ("A server in the background:", "mnp lab exec --detach demo/web python3 -m http.server 80"),
    ),
)
@name_option
@namespace_option
@click.option("--detach", "-d", is_flag=True, help="In the background; prints its process ID.")
@click.argument("pod")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def exec_command(
    context: click.Context,
    name: str,
    namespace: str | None,
    detach: bool,  # noqa: FBT001 - click hands flags over by name
    pod: str,
    command: tuple[str, ...],
) -> int | Callable[[bool], int]:
    """Run a program of this machine in the network namespace of a pod, for example `ip address` or `bash`.

    The program takes the place of this one. Ends with its status; with 125 if there is no such lab or pod, 126 if the
    program cannot be run, 127 if there is none of that name.
    """
    argv = command[1:] if command[0] == "--" else command  # as kubectl exec has it; the rest is the program's
    if not argv:
        raise click.UsageError("nothing to run: name a program, such as ip address")
    try:
        program = _program(registry_of(context), name, parse_object_name(pod, namespace), argv)
        if not detach:
            return partial(_run, program)
        click.echo(program.detach())
    except MnpError as error:
        return _failed(error)
    return 0


def _run(program: Program, in_place: bool) -> int:  # noqa: FBT001 - as `guarded` calls it
    try:
        if in_place:
            program.replace()
        return wait(program.start())
    except MnpError as error:
        return _failed(error)


def _failed(error: MnpError) -> int:
    """Report the error; the exit status differs from the program's own."""
    remark(f"Error: {error}")
    if isinstance(error, NoSuchProgramError):
        return _NOT_FOUND
    return _NOT_EXECUTABLE if isinstance(error, NotExecutableError) else _ITSELF_FAILED


def _program(registry: Registry, name: str, pod: ObjectName, argv: Sequence[str]) -> Program:
    with open_lab(name, registry) as lab:
        return lab.program(pod, argv)


def _print(lab: Lab) -> None:
    from rich.table import Table  # noqa: PLC0415 # for this table alone, and after the help
    from rich.text import Text  # noqa: PLC0415 # likewise

    console = results()
    console.print(Text(f"lab {lab.name}", style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("POD", "INTERFACE", "NETWORK", "ADDRESSES"):
        table.add_column(heading, overflow="fold")
    for pod in lab.plan.pods.values():
        for link in pod.links:
            table.add_row(str(pod.name), link.interface, str(link.network), "\n".join(map(str, link.addresses)))
        if not pod.links:
            table.add_row(str(pod.name), "-", "-", "-")
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)
    others = sorted(ref for ref in lab.plan.objects if ref.kind not in {"Pod", "Namespace"})
    for ref in others:
        console.print(Text(str(ref)), soft_wrap=True)
    for complaint in lab.plan.complaints:
        remark(f"Notice: {complaint}")
    console.print()


def _as_json(lab: Lab) -> dict[str, object]:
    return {
        "name": lab.name,
        "backend": remembered_backend(lab.options),
        "settings": lab.options.get("settings"),
        "enforced": is_enforced(lab.options),
        "pods": [_pod_json(lab, pod) for pod in lab.plan.pods.values()],
        "objects": [{"kind": ref.kind, "name": str(ref.name)} for ref in sorted(lab.plan.objects)],
        "left_out": [{"name": str(pod), "reason": str(error)} for pod, error in lab.plan.left_out.items()],
    }


def _pod_json(lab: Lab, pod: PodPlan) -> dict[str, object]:
    metadata = lab.plan.objects[ObjectRef("Pod", pod.name)].raw.get("metadata", {})
    return {
        "name": str(pod.name),
        "labels": metadata.get("labels") or {},
        "netns": lab.sandbox(pod.name).path,
        "links": [*map(_link_json, pod.links)],
    }


def _link_json(link: PodLink) -> dict[str, object]:
    return {
        "interface": link.interface,
        "network": str(link.network),
        "mac": link.mac,
        "addresses": [str(address) for address in link.addresses],
    }
