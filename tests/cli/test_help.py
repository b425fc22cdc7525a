"""Help, examples, completion, widths and exit status of every command, plugins' included (docs/commands.md)."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import get_completion_class

from mnp_core.cli.entrypoint import run_command
from mnp_core.cli.node import make_command
from tests.cli.commands import APP, COMMANDS, FLEET, KUBECTL, NODE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/commands.md").read_text()
each_command = pytest.mark.parametrize("name", COMMANDS)


def examples_of(command):
    return re.findall(r"^  ((?!#)\S.*)$", command.epilog or "", re.MULTILINE)


EXAMPLES = [(name, line) for name, command in COMMANDS.items() for line in examples_of(command)]
ELSEWHERE = {
    "mnp admit": "runs until it is told to stop: tests/admission",
    "mnp aggregate": "runs until it is told to stop: tests/aggregate",
    "mnp cleanup": "visits the network namespaces of a whole machine: test_cleanup.py",
    "mnp cnigate install": "writes into a folder of the system: plugins/cnigate/tests",
    KUBECTL: "needs a cluster: tests/cli/fleet has a stand-in",
    "mnp denied": "asks an agent: tests/node/test_denied.py",
    "mnp status": "asks an agent: tests/node/test_status.py",
    "mnp compare": "likewise",
    "mnp top": "likewise",
    "mnp trace": "asks an agent: tests/node/test_trace.py",
    "mnp lab": "needs root: the test of all of them below",
    NODE: "runs until it is told to stop: test_node.py",
    "--cluster": "needs a cluster",
}


def elsewhere(line):
    return next((why for words, why in ELSEWHERE.items() if words in line), None)


@pytest.fixture
def folder(tmp_path, monkeypatch, examples):
    """The folder in which examples are run, with a home of its own and this `mnp`."""
    for name in ("policies", "new"):
        shutil.copytree(examples / "quickstart", tmp_path / name)
    (tmp_path / "old").mkdir()
    shutil.copy(examples / "quickstart/cluster.yaml", tmp_path / "old")
    shutil.copy(examples / "quickstart/expectations.yaml", tmp_path)
    (tmp_path / ".config/fish/completions").mkdir(parents=True)
    (tmp_path / "plugins").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MNP_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin")
    return tmp_path


# --- examples -------------------------------------------------------------------------------------------------------


@each_command
def test_every_command_has_an_example(name):
    assert any(name in line for line in examples_of(COMMANDS[name])), "epilog=examples(...), as in mnp_core/cli/diff.py"


@pytest.mark.parametrize("line", [line for _, line in EXAMPLES if not elsewhere(line)])
def test_examples_run(line, folder, mnp):
    """In this process where they need no shell."""
    command, *target = re.split(r" >>? ", line)
    if set(command) & set("$|"):
        ended = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
        return
    ended = mnp(*shlex.split(command)[1:])
    assert ended.status in {0, 1}, ended.err  # an answer
    assert ended.status == 0 or "--fail-on" in line
    assert "Traceback" not in ended.err
    assert ended.out or not target


@pytest.mark.parametrize(("name", "line"), [(n, line) for n, line in EXAMPLES if elsewhere(line)])
@pytest.mark.usefixtures("folder")
def test_examples_that_are_run_elsewhere_are_understood(name, line):
    """Their words are those of the command; the table above says who runs them."""
    words = shlex.split(line)[len(name.split()) :]
    made = COMMANDS[name].make_context(name, words, resilient_parsing=False)
    assert made.command is COMMANDS[name]


@pytest.mark.root
@pytest.mark.full
def test_examples_of_the_lab_run_in_this_order(folder):
    lines = [line for name, line in EXAMPLES if name.startswith("mnp lab")]
    order = ["run", "test", "up", "get", "probe", "exec", "apply", "delete", "down"]
    lines.sort(key=lambda line: order.index(line.split()[2]))
    try:
        for line in lines:
            ended = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False)
            assert ended.returncode == 0, (line, ended.stderr)
    finally:
        subprocess.run(["bash", "-c", "mnp lab down --all"], cwd=folder, capture_output=True, check=True)


# --- completion -----------------------------------------------------------------------------------------------------


def completed(words):
    """The words offered for the last one."""
    _, *known, incomplete = words.split(" ")
    shell = get_completion_class("bash")(APP, {}, "mnp", "_MNP_COMPLETE")
    return [item.value for item in shell.get_completions(known, incomplete)]


def test_commands_options_and_values_are_completed():
    assert completed("mnp ma") == ["matrix"]
    assert "run" in completed("mnp lab ")
    assert completed("mnp diff --fail-on ") == ["opened", "closed", "any"]
    assert "--output" in completed("mnp validate --o")


@pytest.mark.parametrize(
    ("shell", "check"), [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "-n"])]
)
def test_scripts_are_in_the_shells_language(mnp, shell, check, tmp_path):
    ended = mnp("completion", shell)
    assert (ended.status, ended.err) == (0, "")
    assert "_MNP_COMPLETE" in ended.out
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")  # `make test-full` installs it
    (tmp_path / "script").write_text(ended.out)
    assert subprocess.run([*check, tmp_path / "script"], capture_output=True, check=False).returncode == 0


def test_bash_completes_by_the_script():
    words = "COMP_WORDS=(mnp matrix -o ht); COMP_CWORD=3"
    script = f'eval "$(mnp completion bash)"; {words}; _mnp_completion mnp; echo ${{COMPREPLY[@]}}'
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    ended = subprocess.run(["bash", "-c", script], env=path, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["html"]


@pytest.mark.parametrize(
    ("shell", "asked", "answer"),
    [
        ("fish", ["--no-config", "-c", 'mnp completion fish | source; complete -C "mnp matrix -o ht"'], ["html"]),
        (
            "zsh",
            ["-fc", "autoload -Uz compinit; compinit -D; source <(mnp completion zsh); print ${_comps[mnp]}"],
            ["_mnp_completion"],
        ),
    ],
)
def test_other_shells_complete_by_their_scripts(shell, asked, answer, tmp_path):
    """Or zsh, which completes in terminals alone, knows by what."""
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")  # `make test-full` installs it
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    ended = subprocess.run([program, *asked], env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == answer, ended.stderr


def test_an_unknown_shell_is_refused(mnp):
    for wrong in (["tcsh"], [], ["bash", "zsh"]):
        ended = mnp("completion", *wrong)
        assert (ended.status, ended.out) == (2, "")
        assert "Usage: mnp completion" in ended.err


# --- width and colour -----------------------------------------------------------------------------------------------


@each_command
def test_help_keeps_to_the_width(name):
    """Of 40 columns, but for the table of options, which click makes 50 wide at least, and for examples."""
    context = click.Context(COMMANDS[name], info_name=name, terminal_width=40)
    text, _, options = COMMANDS[name].get_help(context).partition("Examples:")[0].partition("Options:")
    assert [line for line in text.splitlines() if len(line) > 40 and len(line.split()) > 1] == []
    assert options


@pytest.mark.usefixtures("folder")
def test_results_keep_to_the_width_and_have_no_colours_in_pipes(mnp, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    for command in ("matrix policies", "plugins"):
        ended = mnp(*command.split())
        assert ended.status == 0
        assert "\x1b" not in ended.out
        assert max(map(len, ended.out.splitlines())) <= (40 if command == "matrix policies" else 250)


@pytest.mark.usefixtures("folder")
def test_no_color_counts_more_than_force_color(mnp, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = mnp("validate", "policies")
    assert "\x1b[" in coloured.out
    monkeypatch.setenv("NO_COLOR", "1")
    for command in ("validate policies", "matrix policies", "plugins"):
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]", mnp(*command.split()).out), command


# --- exit status ----------------------------------------------------------------------------------------------------

STATUSES = dict(
    re.findall(r"^\| `((?:mnp|multi|kubectl)[^`]*)` \| ?(.*?) ?\|$", PAGE.partition("# Exit status")[2], re.MULTILINE)
)
ENDS = [
    ("mnp validate policies", 0),
    ("mnp validate broken.yaml", 1),
    ("mnp diff old new", 0),
    ("mnp diff old new --fail-on closed", 1),
    ("mnp diff old new --fail-on opened", 0),
    ("mnp diff old missing", 2),
    ("mnp diff old", 2),
    ("mnp explain policies --from demo/stranger --to demo/web", 0),
    ("mnp explain policies --from demo/nobody --to demo/web", 2),
    ("mnp explain policies --from demo/web", 2),
    ("mnp matrix policies", 0),
    ("mnp matrix policies --probe tcp:x", 2),
    ("mnp matrix policies -o xml", 2),
    ("mnp render policies", 0),
    ("mnp render policies --backend none", 2),
    ("mnp render policies --pod demo/nobody", 2),
    ("mnp plugins", 0),
    ("mnp plugins --settings missing.yaml", 2),
    ("mnp plugin new good-name", 0),
    ("mnp plugin new Bad_Name", 2),
    ("mnp completion bash", 0),
    ("mnp completion csh", 2),
    ("mnp completion", 2),
    ("mnp completion bash zsh", 2),
    ("mnp cleanup --pod x/y/z", 2),
    ("mnp compare --from a/b --to a/c --socket missing", 2),
    ("mnp compare --from a/b", 2),
    ("mnp compare --from a/b --to a/c --seconds 11", 2),
    ("mnp compare --from a/b --to a/c --probe maybe", 2),
    ("mnp trace --from a/b --to a/c --socket missing", 2),
    ("mnp trace --from a/b --to a/c --packets many", 2),
    ("mnp trace --from a/b --to a/c --seconds 0", 2),
    ("mnp denied --socket missing", 2),
    ("mnp denied --suggest --input missing", 2),
    ("mnp denied --suggest --follow", 2),
    ("mnp denied --since nan", 2),
    ("mnp denied --since 5 --suggest --input missing", 2),
    ("mnp status --socket missing", 2),
    ("mnp status -n Bad_Name", 2),
    ("mnp top --socket missing --once", 2),
    ("mnp top --interval nan", 2),
    ("mnp top --network /", 2),
    ("mnp status --watch 0", 2),
    ("mnp cnigate install missing", 2),
    ("mnp cnigate install", 2),
    ("mnp cnigate install . .", 2),
    ("mnp lab run missing", 2),
    ("mnp lab test missing", 2),
    ("mnp lab up missing", 2),
    ("mnp lab apply policies --name nowhere", 2),
    ("mnp lab delete Pod/demo/web --name nowhere", 2),
    ("mnp lab probe --name nowhere", 2),
    ("mnp lab down --name nowhere", 2),
    ("mnp lab get --name nowhere", 2),
    ("mnp lab exec --name nowhere demo/web true", 125),
    (f"{KUBECTL} denied --suggest --follow", 2),
    (f"{KUBECTL} explain --from a/b --to a/c --probe", 2),
    (f"{KUBECTL} explain policies --from a/b --to a/c --node", 2),
    (f"{KUBECTL} explain --from a/b --to a/c --node --kubeconfig missing", 2),
    (f"{KUBECTL} status --pod x/y/z", 2),
    (f"{KUBECTL} top --interval 0", 2),
    (f"{NODE} --settings missing.yaml", 2),
    ("mnp admit --master nonsense", 2),
    ("mnp admit --kubeconfig missing", 2),
    ("mnp admit --refuse Nonsense", 2),
    ("mnp aggregate --master nonsense", 2),
    ("mnp aggregate --kubeconfig missing", 2),
    ("mnp aggregate --writes-per-second nan", 2),
    ("mnp aggregate --settle-seconds soon", 2),
]


def test_the_page_has_every_command_and_no_other():
    assert sorted(STATUSES) == sorted(COMMANDS)
    asked = {name for name in COMMANDS for line, _ in ENDS if line.startswith(name)}
    assert asked == {*COMMANDS}


@pytest.mark.parametrize(("line", "status"), ENDS)
def test_commands_end_as_the_page_says(line, status, folder, capfd):
    (folder / "broken.yaml").write_text(
        "{apiVersion: k8s.cni.cncf.io/v1beta1, kind: MultiNetworkPolicy, metadata: {name: x}}"
    )
    found, out, err = ended_as(line, capfd)
    assert found == status, err
    if status >= 2:
        assert out == "", "errors belong to standard error"
        assert err
        assert "Traceback" not in err
    if status == 1:
        assert STATUSES[next(name for name in COMMANDS if line.startswith(name))]


def ended_as(line, capfd):
    """Status, output and errors of a command line, in this process."""
    made = {"mnp": lambda: APP, "kubectl": lambda: FLEET, NODE: make_command}
    program, *words = line.split()
    capfd.readouterr()
    status = run_command(made[program], words[1:] if program == "kubectl" else words, program)
    return status, *capfd.readouterr()


@each_command
def test_every_command_refuses_what_it_does_not_know(name, capfd):
    for wrong in ["--no-such-option", *(["--output nonsense"] if takes_output(name) else ())]:
        status, out, err = ended_as(f"{name} {wrong}", capfd)
        assert (status, out) == (2, "")
        assert "Usage: " in err
        assert "Error: " in err


def takes_output(name):
    return any(parameter.name in {"output", "form"} for parameter in COMMANDS[name].params)


def test_help_is_a_result(mnp):
    ended = mnp("diff", "--help")
    assert (ended.status, ended.err) == (0, "")
    assert "mnp diff old new" in ended.out
