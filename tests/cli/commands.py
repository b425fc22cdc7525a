"""All commands of all programs, by the words that call them."""

import click

from mnp_core.cli.app import BUILT_IN, make_app
from mnp_core.cli.fleet.app import make_app as make_fleet_app
from mnp_core.cli.node import make_command
from mnp_core.plugins import load_plugins

NODE = "multi-network-policy-node"
KUBECTL = "kubectl mnp"
APP = make_app(load_plugins())
FLEET = make_fleet_app(load_plugins())


def leaves(command, path):
    """All commands that do something."""
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from leaves(child, (*path, name))
    else:
        yield " ".join(path), command


BORROWED = [BUILT_IN[name].keep() for name in BUILT_IN]
COMMANDS = {
    **dict(leaves(APP, ("mnp",))),
    **{name: command for name, command in leaves(FLEET, (KUBECTL,)) if command not in BORROWED},
    NODE: make_command(),
}
"""`kubectl mnp` has commands of `mnp`, which are not here again."""
