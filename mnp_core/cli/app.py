"""The tree of commands: the built-in ones, and those of plugins."""

import click

import mnp_core
from mnp_core.cli.cleanup import cleanup_command
from mnp_core.cli.explain import explain_command
from mnp_core.cli.lab import lab_group
from mnp_core.cli.plugin import plugin_group
from mnp_core.cli.plugins import plugins_command
from mnp_core.cli.reach import matrix_command
from mnp_core.cli.render import render_command
from mnp_core.cli.terminal import remark
from mnp_core.cli.validate import validate_command
from mnp_core.errors import PluginError
from mnp_core.plugins import Registry

_BUILT_IN = (
    cleanup_command,
    explain_command,
    lab_group,
    matrix_command,
    plugin_group,
    plugins_command,
    render_command,
    validate_command,
)


def make_app(registry: Registry) -> click.Group:
    """Make `mnp` with the commands of these plugins.

    A plugin's command that cannot be made, or whose name is taken, is left out with a warning: the others work.
    """
    settings = {"obj": registry, "help_option_names": ["-h", "--help"], "max_content_width": 100}
    app = click.Group("mnp", help=_HELP, context_settings=settings)
    app = click.version_option(mnp_core.__version__, prog_name="mnp")(app)
    for command in _BUILT_IN:
        app.add_command(command)
    for name in registry.commands:
        if name in app.commands:
            remark(f"Warning: a plugin offers the command {name!r}, but that is a built-in one: it is left out.")
        else:
            _add(app, registry, name)
    return app


_HELP = """Kubernetes network policy on the secondary interfaces of pods.

`mnp lab` builds pods from manifests on this machine, without a cluster, enforces their policies and sends real
packets (as root). `mnp cleanup` is for nodes that are not to be policed any more (as root). The other commands work
offline and need no privileges."""


def _add(app: click.Group, registry: Registry, name: str) -> None:
    try:
        app.add_command(registry.command(name), name)
    except PluginError as error:
        remark(f"Warning: {error}")
