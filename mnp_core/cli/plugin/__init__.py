"""`mnp plugin`: for authors of plugins."""

import click

from mnp_core.cli.plugin.new import new_command


@click.group("plugin", short_help="For those who write plugins.")
def plugin_group() -> None:
    """Begin a plugin. What is installed, `mnp plugins` lists."""


plugin_group.add_command(new_command)
