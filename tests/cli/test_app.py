"""Commands of plugins among the built-in ones."""

import click
from attrs import field, frozen

from mnp_core.cli.app import make_app
from mnp_core.errors import PluginError


@frozen
class Registry:
    """What `make_app` needs of a registry."""

    commands: dict = field(factory=dict)

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
    assert {"good", "lab"} <= app.commands.keys()
    assert "its factory failed" in capsys.readouterr().err


def test_every_command_is_listed_in_a_whole_sentence():
    app = make_app(Registry())
    for group in (app, app.commands["lab"]):
        for command in group.commands.values():
            assert command.get_short_help_str(limit=60).endswith("."), command.name
            assert not command.get_short_help_str(limit=60).endswith("..."), command.name
