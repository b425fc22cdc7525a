"""Imports of `mnp`: a command loads only the modules that it needs."""

import json
import subprocess
import sys

import pytest

from mnp_core.cli.app import make_app
from mnp_core.cli.lazy import LazyGroup

HEAVY = ("grpc", "google.protobuf", "kubernetes", "prometheus_client", "pyroute2", "structlog", "watchfiles")
NETWORKING = ("mnp_lab.lab", "mnp_core.agent.agent", "mnp_core.sandbox.pool", "mnp_core.node")
PLUGINS = (
    "mnp_iptables.applier",
    "mnp_iptables.render",
    "mnp_nftables.applier",
    "mnp_nftables.renderer",
    "mnp_lab.lab",
)
"""Parts of plugins that factories import when something is made."""

DATA = ("msgspec", "packaging", "watchfiles", "yaml")
"""Readers of files and of unusual requirements."""

RARE = ("msgspec", "packaging", "pickle", "rich")
"""For JSON, requirements that do not fit, policies over a budget, bars: examples/quickstart has none of these."""

SCRIPT = """
import json, sys
from mnp_core.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    print(json.dumps([ended.code, sorted(sys.modules)]), file=sys.stderr)
"""
EXPLAIN = ("explain", "{examples}/quickstart", "--from", "demo/client", "--to", "demo/web")
MATRIX = ("matrix", "{examples}/quickstart")
DIFF = ("diff", "{examples}/quickstart", "{examples}/quickstart")


def imported(*arguments):
    """The modules that there are when a command has ended well."""
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    status, modules = json.loads(done.stderr.splitlines()[-1])
    assert status == 0, done.stderr
    return modules


def among(modules, names):
    return sorted({name for name in names for module in modules if module == name or module.startswith(f"{name}.")})


@pytest.mark.parametrize("arguments", [("--help",), ("lab", "--help"), ("--version",)], ids=["help", "lab", "version"])
def test_help_imports_no_command(arguments):
    modules = imported(*arguments)
    assert (
        among(modules, (*HEAVY, *NETWORKING, *PLUGINS, *DATA, "rich", "mnp_core.cli.objects", "mnp_lab.cli.run")) == []
    )


@pytest.mark.parametrize(
    "command",
    [EXPLAIN, MATRIX, DIFF, ("validate", "{examples}/quickstart"), ("render", "{examples}/quickstart"), ("plugins",)],
    ids=lambda command: command[0],
)
def test_offline_commands_import_nothing_of_networking(examples, command):
    modules = imported(*(word.format(examples=examples) for word in command))
    assert among(modules, (*HEAVY, *NETWORKING, *RARE)) == []


@pytest.mark.parametrize(
    "command",
    [("plugins",), ("lab", "get", "--help")]
    + [(name, "--help") for name in ("admit", "aggregate", "cleanup", "compare", "denied", "status", "top", "trace")],
    ids=lambda command: command[-2:][0],
)
def test_commands_without_a_file_to_read_import_no_reader(command):
    assert among(imported(*command), (*DATA, "rich", "mnp_core.sources.yamlevents")) == []


@pytest.mark.parametrize("command", ["run", "test", "up", "apply", "delete", "get", "probe", "exec", "down"])
def test_help_of_a_lab_command_imports_neither_the_agent_nor_what_draws_or_reads(command):
    modules = imported("lab", command, "--help")
    drawing = (
        *DATA,
        "multiprocessing",
        "pyroute2",
        "rich",
        "structlog",
        "mnp_core.agent",
        "mnp_core.sandbox.pool",
        *PLUGINS[:-1],
    )
    assert among(modules, drawing) == []


def test_render_imports_the_chosen_renderer_alone(examples):
    assert among(imported("render", f"{examples}/quickstart"), PLUGINS) == ["mnp_nftables.renderer"]


@pytest.mark.parametrize("command", [EXPLAIN, MATRIX, ("validate", "{examples}/quickstart"), ("plugins",)])
def test_commands_without_a_backend_import_none(examples, command):
    modules = imported(*(word.format(examples=examples) for word in command))
    assert among(modules, PLUGINS) == []


def test_listed_help_equals_the_commands_own(registry):
    app = make_app(registry)
    for group in (app, app.commands["lab"]):
        assert isinstance(group, LazyGroup)
        for name, promise in group.commands.promises.items():
            command = group.commands[name]
            assert (command.name, command.get_short_help_str(100)) == (name, promise.short_help)
