"""`mnp lab`: pods without a cluster, from manifests, with real packets."""

import click

from mnp_core.cli.lab.look import exec_command, get_command
from mnp_core.cli.lab.probe import probe_command
from mnp_core.cli.lab.run import run_command
from mnp_core.cli.lab.stay import apply_command, delete_command, down_command, up_command
from mnp_core.cli.lab.test import test_command

_COMMANDS = (
    run_command,
    test_command,
    up_command,
    apply_command,
    delete_command,
    get_command,
    probe_command,
    exec_command,
    down_command,
)


class _InOrder(click.Group):
    """Lists commands in the order in which they are used."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group("lab", cls=_InOrder, short_help="Try policies with real packets, without a cluster.")
def lab_group() -> None:
    """Build pods from manifests on this machine and see whom they reach; as root.

    `run` and `test` do everything at once and leave nothing behind. `up` builds a lab that stays until `down`; several
    stand side by side under different names. Pods are network namespaces with interfaces, they run no containers.
    """


for _command in _COMMANDS:
    lab_group.add_command(_command)
