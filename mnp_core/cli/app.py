"""The tree of commands: the built-in ones, and those of plugins."""

import click

import mnp_core
from mnp_core.cli.lazy import Commands, LazyGroup, Promise
from mnp_core.errors import PluginError
from mnp_core.plugins import COMMAND_DISTRIBUTIONS, Registry

_CLI = "mnp_core.cli"
BUILT_IN = {
    "admit": Promise(f"{_CLI}.admit", "admit_command", "Judge policies when they are applied to the cluster."),
    "aggregate": Promise(f"{_CLI}.aggregate", "aggregate_command", "Write the status of policies in the cluster."),
    "cleanup": Promise(f"{_CLI}.cleanup", "cleanup_command", "Take all rules out of the pods of this machine."),
    "compare": Promise(f"{_CLI}.compare", "compare_command", "Compare the verdict on a flow with the kernels of pods."),
    "completion": Promise(f"{_CLI}.completion", "completion_command", "Print the script that completes commands."),
    "denied": Promise(f"{_CLI}.denied", "denied_command", "Print packets that were denied on this node."),
    "diff": Promise(f"{_CLI}.diff", "diff_command", "Print the pairs that a change opens and closes."),
    "explain": Promise(f"{_CLI}.explain", "explain_command", "Say why a pod reaches another, or does not."),
    "matrix": Promise(f"{_CLI}.reach", "matrix_command", "Print who reaches whom by the policies."),
    "plugin": Promise(f"{_CLI}.plugin", "plugin_group", "For those who write plugins."),
    "plugins": Promise(f"{_CLI}.plugins", "plugins_command", "List the installed plugins and the state of each."),
    "render": Promise(f"{_CLI}.render", "render_command", "Print the ruleset of each pod."),
    "status": Promise(f"{_CLI}.status", "status_command", "Print the state of enforcement on this node."),
    "top": Promise(f"{_CLI}.top", "top_command", "Print packets and bytes a second by policy rule."),
    "trace": Promise(f"{_CLI}.trace", "trace_command", "Follow a packet through the rules of pods."),
    "validate": Promise(f"{_CLI}.validate", "validate_command", "Check manifests and report problems."),
}

CLUSTER_IS_MEANT = f"{_CLI}.cluster"
"""In `click.Context.meta`: commands ask a cluster without ``--cluster``, as those of `kubectl mnp` do."""


def make_app(registry: Registry) -> click.Group:
    """Make `mnp` with the commands of these plugins.

    A plugin's command that cannot be made, or whose name is taken, is left out with a warning: the others work.
    """
    app = core_app(registry)
    for name in registry.commands:
        if name in app.commands:
            _warn(f"a plugin offers the command {name!r}, but that is a built-in one: it is left out.")
        else:
            _add(app, registry, name)
    return app


def core_app(registry: Registry | None = None) -> click.Group:
    """Make `mnp` with its built-in commands alone; without a registry they can be described, but not run."""
    settings = {"obj": registry, "help_option_names": ["-h", "--help"], "max_content_width": 100}
    app = _App("mnp", help=_HELP, context_settings=settings, commands=Commands(BUILT_IN))
    return click.version_option(mnp_core.__version__, prog_name="mnp")(app)


class _App(LazyGroup):
    """Knows the commands of this project's missing plugins, and points to their distributions."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name, as click does."""
        home = COMMAND_DISTRIBUTIONS.get(args[0])
        if home and args[0] not in self.commands:
            statuses = [status for status in ctx.obj.statuses if status.distribution == home]
            remedy = " ".join(map(str, statuses)) or f"pip install {home}"
            raise click.UsageError(f"The command {args[0]!r} comes with {home}: {remedy}", ctx)
        return super().resolve_command(ctx, args)


_HELP = """Kubernetes network policy on the secondary interfaces of pods.

`explain`, `matrix`, `diff`, `render` and `validate` judge manifests, offline and without privileges, or with
`--cluster` the objects of a live cluster. `mnp lab`, which mnp-lab adds, builds pods from manifests on this machine,
without a cluster, and sends real packets (as root). `status`, `top`, `denied`, `compare` and `trace` ask the agent of
this node (as root), `kubectl mnp` those of all nodes. `cleanup` is for nodes that are not to be enforced any more
(as root), `aggregate` and `admit` for Deployments in the cluster."""


def _add(app: click.Group, registry: Registry, name: str) -> None:
    try:
        app.add_command(registry.command(name), name)
    except PluginError as error:
        _warn(str(error))


def _warn(text: str) -> None:
    from mnp_core.cli.terminal import remark  # noqa: PLC0415 # needed for warnings only

    remark(f"Warning: {text}")
