"""`mnp lab`: pods without a cluster, from manifests, with real packets."""

import click

from mnp_core.cli.lazy import Commands, LazyGroup, Promise

_LAB = "mnp_lab.cli"
_COMMANDS = {  # in the order in which they are used
    "run": Promise(f"{_LAB}.run", "run_command", "Build, enforce, probe every pair, take down."),
    "test": Promise(f"{_LAB}.test", "test_command", "Compare packets with expectations."),
    "up": Promise(f"{_LAB}.lifecycle", "up_command", "Build a lab that stays."),
    "apply": Promise(f"{_LAB}.lifecycle", "apply_command", "Create or change objects."),
    "delete": Promise(f"{_LAB}.lifecycle", "delete_command", "Delete objects."),
    "get": Promise(f"{_LAB}.inspect", "get_command", "Show labs, their pods and addresses."),
    "probe": Promise(f"{_LAB}.probe", "probe_command", "Probe a lab that is up."),
    "exec": Promise(f"{_LAB}.inspect", "exec_command", "Run a program in a pod."),
    "down": Promise(f"{_LAB}.lifecycle", "down_command", "Take a lab down."),
}


@click.group(
    "lab",
    cls=LazyGroup,
    short_help="Try policies with real packets, without a cluster.",
    commands=Commands(_COMMANDS),
)
def lab_group() -> None:
    """Build pods from manifests on this machine and see whom they reach; as root.

    `run` and `test` do everything at once and leave nothing behind. `up` builds a lab that stays until `down`; several
    stand side by side under different names. Pods are network namespaces with interfaces, they run no containers.
    """
