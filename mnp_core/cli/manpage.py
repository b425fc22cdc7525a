"""Man pages from the help of commands: `python -m mnp_core.cli.manpage FOLDER [MODULE:ATTRIBUTE NAME]`.

Builds of distributions run it (hatch_build.py); without MODULE:ATTRIBUTE it writes the core's own. The same help gives
the same bytes: SOURCE_DATE_EPOCH is the date of the pages, which have none without it.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from inspect import cleandoc
from pathlib import Path

import click

import mnp_core

_STATUS = """0 it was done, 1 it was done and the answer is bad, 2 it could not be done, 130 interrupted. Errors are
written to standard error."""
_VARIABLES = (
    """NO_COLOR leaves colours out, FORCE_COLOR has them in pipes, too; COLUMNS is the width of tables and help."""
)


def main(arguments: Sequence[str]) -> None:
    """Write the pages of a command and of those below it; exits with 2 for other arguments than those above."""
    if len(arguments) not in {1, 3} or arguments[0].startswith("-"):
        sys.stderr.write("Usage: python -m mnp_core.cli.manpage FOLDER [MODULE:ATTRIBUTE NAME]\n")
        sys.exit(2)
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, command in _commands(arguments[1:]):
        for file, text in pages(command, name.split()):
            (folder / file).write_text(text, encoding="utf-8")


def _commands(chosen: Sequence[str]) -> Iterator[tuple[str, click.Command]]:
    if chosen:
        module, _, attribute = chosen[0].partition(":")
        yield chosen[1], getattr(import_module(module), attribute)
        return
    from mnp_core.cli.app import core_app  # noqa: PLC0415 # a plugin's build needs its own commands only
    from mnp_core.cli.fleet.app import make_app  # noqa: PLC0415 # as above
    from mnp_core.cli.node import make_command  # noqa: PLC0415 # as above

    yield "mnp", core_app()
    yield "kubectl mnp", make_app()
    node = make_command()
    yield str(node.name), node


def pages(command: click.Command, path: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The pages of a command and of all below it: name of the file and text.

    Args:
        command: The command.
        path: The words by which it is called.
    """
    yield f"{'-'.join(path)}.1", page(command, path)
    for name, child in _children(command):
        yield from pages(child, [*path, name])


def page(command: click.Command, path: Sequence[str]) -> str:
    """One page, in the man macros of roff."""
    context = click.Context(command, info_name=" ".join(path), help_option_names=["-h", "--help"])
    title = "-".join(path)
    lines = [f'.TH "{escaped(title.upper())}" "1" "{_date()}" "mnp {mnp_core.__version__}" "Multi-network policy"']
    lines += [".SH NAME", f"{escaped(title)} \\- {escaped(command.get_short_help_str(200).rstrip('.'))}"]
    lines += [".SH SYNOPSIS", f".B {escaped(' '.join(path))}", escaped(" ".join(command.collect_usage_pieces(context)))]
    lines += [".SH DESCRIPTION", *_paragraphs(command.help or "")]
    lines += _definitions("COMMANDS", [(name, child.get_short_help_str(200)) for name, child in _children(command)])
    lines += _definitions("OPTIONS", [*_options(command, context)])
    lines += _examples(command.epilog or "")
    lines += [".SH EXIT STATUS", escaped(_STATUS), ".SH ENVIRONMENT", escaped(_VARIABLES)]
    return "\n".join([*lines, *_see_also(command, path), ""])


def escaped(text: str) -> str:
    """Text without a meaning in roff; `words` in backquotes are bold."""
    plain = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha")
    bold = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", plain)
    return f"\\&{bold}" if bold.startswith(".") else bold


def _children(command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        yield from sorted(command.commands.items())


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)):
            yield record


def _date() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return f"{datetime.fromtimestamp(int(epoch), UTC):%Y-%m-%d}" if epoch else ""


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(cleandoc(text).split("\n\n")):
        yield from ([".PP"] if number else [])
        yield escaped(paragraph)


def _definitions(heading: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    lines = [line for term, text in rows for line in (".TP", f"\\fB{escaped(term)}\\fR", escaped(text))]
    return [f".SH {heading}", *lines] if rows else []


def _examples(epilog: str) -> list[str]:
    """The epilog by `mnp_core.cli.helping.examples`: remarks and commands, line by line."""
    lines = [line.strip() for line in epilog.splitlines()[2:]]
    shown = [escaped(line) if line.startswith("#") else f"    {escaped(line)}" for line in lines]
    return [".SH EXAMPLES", ".nf", *shown, ".fi"] if shown else []


def _see_also(command: click.Command, path: Sequence[str]) -> list[str]:
    below = ["-".join([*path, name]) for name, _ in _children(command)]
    around = ["-".join(path[:end]) for end in range(1, len(path))]
    names = [f"\\fB{escaped(name)}\\fR(1)" for name in (*around, *below)]
    return [".SH SEE ALSO", ",\n".join(names)] if names else []


if __name__ == "__main__":
    main(sys.argv[1:])
