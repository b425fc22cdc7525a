"""`multi-network-policy-node`, the agent of a node."""

import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import mnp_core
from mnp_core.cli.entrypoint import run_command
from mnp_core.cli.flags import Flags, options, read_flags
from mnp_core.cli.helping import examples
from mnp_core.cli.options import read_yaml
from mnp_core.cli.terminal import remark
from mnp_core.errors import InputError
from mnp_core.plugins import load_plugins
from mnp_core.settings import Settings, parse_settings
from mnp_core.sources.textfile import read_text

_NAME = "multi-network-policy-node"
_YOUNG = 50_000
"""New objects until the next collection of garbage, which took a sixth of the time of imports: they make 150,000."""
_HELP = """Enforce network policy on the secondary interfaces of this node's pods.

Follows the API server and keeps the rules in the pods' network namespaces as the policies say, until it is told to
stop; the rules stay. Every setting of the settings file is a flag, too, except those that are mappings; a flag counts
before the file."""
_EXAMPLES = examples(
    ("In a pod of the DaemonSet:", f"{_NAME} --hostname-override node-1 --settings settings.yaml"),
    ("By a kubeconfig, with a log for people:", f"{_NAME} --hostname-override node-1 --kubeconfig ~/.kube/config"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit.

    Args:
        arguments: Without the program's name; those of the process if not given.
    """
    gc.set_threshold(_YOUNG)
    sys.exit(run_command(make_command, arguments, _NAME))


def make_command() -> click.Command:
    """Make the program. It loads plugins when the settings are known, so that disabled ones are never imported."""

    def run(settings_file: Path | None, **given: Any) -> None:
        flags = read_flags(given)
        settings = node_settings(settings_file, flags)
        _run(settings, flags.remarks)

    path = click.Path(path_type=Path, dir_okay=False)
    file_option = click.Option(
        ["--settings", "settings_file"], type=path, metavar="FILE", help="A YAML file of settings."
    )
    command = click.Command(
        _NAME,
        params=[file_option, *options()],
        callback=run,
        help=_HELP,
        epilog=_EXAMPLES,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    return click.version_option(mnp_core.__version__, prog_name=_NAME)(command)


def node_settings(path: Path | None, flags: Flags) -> Settings:
    """Settings of a file, overridden by those of flags.

    Raises:
        InputError: One cannot be parsed; the error names the file or the flag.
    """
    raw = read_yaml(path) if path is not None else {}
    if raw is not None and not isinstance(raw, dict):
        return parse_settings(raw, where=str(path), read=str)  # raises the error
    folder = path.parent if path is not None else Path()
    try:
        return parse_settings(
            {**(raw or {}), **flags.settings}, where=str(path or ""), read=lambda name: read_text(folder / name)
        )
    except InputError as error:
        if error.field in flags.settings:
            raise InputError(error.message, where=f"--{error.field}") from error
        raise


def _run(settings: Settings, remarks: Sequence[str]) -> None:
    from mnp_core.telemetry.logs import configure_logging  # noqa: I001, PLC0415 - first: it keeps rich out of the process
    from mnp_core.node.assembly import run_node  # noqa: PLC0415 - `--help` needs neither a client nor a kernel

    configure_logging(settings.node.log_format, settings.node.log_level)
    registry = load_plugins(settings.disabled_plugins)
    for text in remarks:
        remark(f"Warning: {text}")
    for status in registry.problems:
        remark(f"Warning: {status}")
    run_node(registry, settings)
