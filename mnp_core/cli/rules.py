"""Options that name rules of lint."""

from typing import Any

import click

from mnp_core.cli.options import Decorator
from mnp_core.policy.lint import RULES, Rule, find_rules


def rules_option(flag: str, parameter: str, text: str) -> Decorator[Any]:
    """An option that takes names of rules with commas, and may be repeated; a set of rules."""
    return click.option(flag, parameter, metavar="RULE", multiple=True, callback=_as_rules, help=text)


def _as_rules(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> frozenset[Rule]:
    return frozenset().union(*(_named(word) for value in values for word in value.split(",")))


def _named(word: str) -> frozenset[Rule]:
    found = find_rules(word)
    if not found:
        import difflib  # noqa: PLC0415 # for mistakes alone

        names = [rule.name for rule in RULES.values()]
        close = difflib.get_close_matches(word.strip(), [*names, *RULES], 1, 0.5)
        hint = f"did you mean {close[0]}?" if close else "docs/lint.md lists names such as ShadowedRule and ids"
        raise click.BadParameter(f"there is no rule {word.strip()[:60]!r}: {hint}")
    return found
