"""`mnp completion`: scripts for shells, which ask `mnp` itself for the words that fit."""

import click
from click.shell_completion import get_completion_class

from mnp_core.cli.helping import examples

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_MNP_COMPLETE"
"""Set by the scripts: click answers instead of the command."""


@click.command(
    "completion",
    short_help="Print the script that completes commands.",
    epilog=examples(
        ("For this shell, and for those to come:", 'eval "$(mnp completion bash)"'),
        ("", "mnp completion bash >> ~/.bashrc"),
        ("zsh, and fish:", "mnp completion zsh >> ~/.zshrc"),
        ("", "mnp completion fish > ~/.config/fish/completions/mnp.fish"),
    ),
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion_command(shell: str) -> None:
    """Print the script by which SHELL completes commands, options, their values and paths of `mnp`.

    The script asks the installed `mnp`: commands of plugins that are added later are completed, too. bash has to be
    version 4.4 or newer.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise TypeError(f"click completes nothing for {shell}")
    made = kind(click.Command("mnp"), {}, "mnp", _VARIABLE)
    click.echo(made.source_template % made.source_vars())
