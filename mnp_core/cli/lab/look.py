"""`mnp lab get` and `mnp lab exec`: look at a lab that is up, and into its pods."""

import click
from rich.table import Table
from rich.text import Text

from mnp_core.cli.lab.opening import name_option, open_lab
from mnp_core.cli.names import parse_object_name
from mnp_core.cli.options import Output, output_option, registry_of
from mnp_core.cli.terminal import print_json, remark, results
from mnp_core.errors import InputError
from mnp_core.lab.lab import Lab
from mnp_core.lab.topology import LabPlan, PodLink


@click.command("get", short_help="Show labs, their pods and addresses.")
@click.option("--name", metavar="LAB", envvar="MNP_LAB", help="Which lab; also MNP_LAB. [default: all]")
@output_option
def get_command(name: str | None, output: Output) -> None:
    """Show the labs that are up: their pods with interfaces and addresses, and their other objects."""
    plans = {}
    for each in [name] if name else Lab.names():
        with Lab.open(each) as lab:
            plans[each] = lab.plan
    if output is Output.JSON:
        print_json({"labs": [_as_json(each, plan) for each, plan in plans.items()]})
        return
    for each, plan in plans.items():
        _print(each, plan)
    if not plans:
        remark("No lab is up: `mnp lab up PATH...` builds one.")


@click.command("exec", short_help="Run a program in a pod.", context_settings={"allow_interspersed_args": False})
@name_option
@click.argument("pod")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def exec_command(context: click.Context, name: str, pod: str, command: tuple[str, ...]) -> int:
    """Run a program of this machine in the network namespace of a pod, for example `ip address` or `bash`.

    Ends with the program's own status.
    """
    program = command[1:] if command[0] == "--" else command  # as kubectl exec has it; what follows is the program's
    if not program:
        raise InputError("nothing to run: name a program, such as ip address")
    with open_lab(name, registry_of(context)) as lab:
        return lab.exec(parse_object_name(pod), program)


def _print(name: str, plan: LabPlan) -> None:
    console = results()
    console.print(Text(f"lab {name}", style="bold"))
    table = Table("POD", "INTERFACE", "NETWORK", "ADDRESSES", box=None, pad_edge=False, header_style="dim")
    for pod in plan.pods.values():
        for link in pod.links:
            table.add_row(str(pod.name), link.interface, str(link.network), "\n".join(map(str, link.addresses)))
        if not pod.links:
            table.add_row(str(pod.name), "-", "-", "-")
    console.print(table)
    others = sorted(ref for ref in plan.objects if ref.kind not in {"Pod", "Namespace"})
    for ref in others:
        console.print(Text(str(ref)), soft_wrap=True)
    console.print()


def _as_json(name: str, plan: LabPlan) -> dict[str, object]:
    return {
        "name": name,
        "pods": [{"name": str(pod.name), "links": [*map(_link_json, pod.links)]} for pod in plan.pods.values()],
        "objects": [{"kind": ref.kind, "name": str(ref.name)} for ref in sorted(plan.objects)],
    }


def _link_json(link: PodLink) -> dict[str, object]:
    return {
        "interface": link.interface,
        "network": str(link.network),
        "mac": link.mac,
        "addresses": [str(address) for address in link.addresses],
    }
