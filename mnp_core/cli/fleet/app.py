"""`kubectl mnp`: kubectl runs the program kubectl-mnp of PATH with the words after ``mnp``."""

import sys
from collections.abc import Sequence
from typing import Any

import click

import mnp_core
from mnp_core.cli.app import BUILT_IN, CLUSTER_IS_MEANT
from mnp_core.cli.entrypoint import run_command
from mnp_core.cli.lazy import Commands, LazyGroup, Promise
from mnp_core.plugins import Registry, load_plugins

_NAME = "kubectl mnp"
_FLEET = "mnp_core.cli.fleet"
_COMMANDS = {
    **{name: BUILT_IN[name] for name in ("diff", "matrix", "render")},
    "denied": Promise(f"{_FLEET}.denied", "denied_command", "Print packets that were denied on all nodes."),
    "explain": Promise(f"{_FLEET}.explain", "explain_command", "Say why a pod reaches another, or does not."),
    "status": Promise(f"{_FLEET}.status", "status_command", "Print the state of enforcement on all nodes."),
    "top": Promise(f"{_FLEET}.top", "top_command", "Print packets and bytes a second by policy rule, of all nodes."),
    "validate": BUILT_IN["validate"],
}
_HELP = """Kubernetes network policy on the secondary interfaces of pods, in the cluster that kubectl talks to.

diff, matrix, render and validate are those of `mnp` with --cluster: they read the API, and so does explain. The others,
and explain with --node, reach the agents of the nodes with kubectl exec."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit.

    Args:
        arguments: Without the program's name; those of the process if not given.
    """
    sys.exit(run_command(lambda: make_app(load_plugins()), arguments, _NAME))


def make_app(registry: Registry | None = None) -> click.Group:
    """Make `kubectl mnp`; commands get this registry, without which they can be described, but not run."""
    settings = {"obj": registry, "help_option_names": ["-h", "--help"], "max_content_width": 100}
    app = _App(_NAME, help=_HELP, context_settings=settings, commands=Commands(_COMMANDS))
    return click.version_option(mnp_core.__version__, prog_name=_NAME)(app)


class _App(LazyGroup):
    """Has commands that judge objects ask the cluster."""

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        """As click does."""
        context = super().make_context(*arguments, **settings)
        context.meta[CLUSTER_IS_MEANT] = True
        return context
