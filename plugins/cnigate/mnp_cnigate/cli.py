"""`mnp cnigate`: put the CNI plugin on a node."""

import platform
from pathlib import Path

import click

from mnp_cnigate.install import install_executable


@click.group("cnigate")
def cnigate_group() -> None:
    """Put the CNI plugin that holds pod starts on a node."""


_EXAMPLES = """\b
Examples:
  # On this node:
  mnp cnigate install /opt/cni/bin"""


@cnigate_group.command("install", epilog=_EXAMPLES)
@click.argument("folder", type=click.Path(path_type=Path))
def install_command(folder: Path) -> None:
    """Copy the CNI plugin into FOLDER, the runtime's folder of CNI plugins, for instance /opt/cni/bin.

    Running calls keep the version that they started with. Nothing is written if it is there already.
    """
    installed = install_executable(folder, platform.machine())
    click.echo(f"{installed.path}: {'installed' if installed.changed else 'up to date'}")
