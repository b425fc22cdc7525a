"""Commands of plugins among the built-in ones."""

import click
import pytest
from attrs import field, frozen

from mnp_core.cli.app import make_app
from mnp_core.errors import PluginError
from mnp_core.plugins import PluginStatus, State


@frozen
class Registry:
    """The part of a registry that `make_app` needs."""

    commands: dict = field(factory=dict)
    statuses: tuple = ()

    def command(self, name):
        made = self.commands[name]
        if isinstance(made, Exception):
            raise made
        return made


def test_a_plugin_adds_a_command():
    app = make_app(Registry({"hello": click.Command("hello", callback=lambda: 7)}))
    assert app.main(["hello"], standalone_mode=False) == 7


def test_the_name_of_a_built_in_command_is_taken(capsys):
    app = make_app(Registry({"validate": click.Command("validate", help="mine")}))
    assert app.commands["validate"].help != "mine"
    assert "the command 'validate'" in capsys.readouterr().err


def test_a_command_that_cannot_be_made_leaves_the_others(capsys):
    app = make_app(Registry({"broken": PluginError("its factory failed"), "good": click.Command("good")}))
    assert "broken" not in app.commands
    assert {"good", "explain"} <= app.commands.keys()
    assert "its factory failed" in capsys.readouterr().err


def test_a_command_of_a_distribution_that_is_missing_names_it():
    with pytest.raises(click.UsageError, match="'lab' comes with mnp-lab: pip install mnp-lab"):
        make_app(Registry()).main(["lab", "run", "x"], standalone_mode=False)


def test_a_command_of_a_plugin_that_is_broken_or_disabled_names_the_fault():
    status = PluginStatus(
        name="lab", distribution="mnp-lab", version="1", state=State.DISABLED, detail="a setting disables it"
    )
    with pytest.raises(click.UsageError, match="a setting disables it"):
        make_app(Registry(statuses=(status,))).main(["lab"], standalone_mode=False)


def test_every_command_is_listed_in_a_whole_sentence(registry):
    app = make_app(registry)
    for group in (app, app.commands["lab"]):
        for command in group.commands.values():
            assert command.get_short_help_str(limit=60).endswith("."), command.name
            assert not command.get_short_help_str(limit=60).endswith("..."), command.name
