"""Blocks of ``console`` are commands for a whole machine or a cluster: each is run somewhere, or has a reason.

The others are checked for form, and listed in a table at the end of the run.
"""

import re
import shlex
import subprocess

import pytest

from tests.docs.fences import ON_A_CLUSTER, PAGES, ROOT, TUTORIAL, cluster_blocks, fences, lines

FENCES = [fence for page in PAGES for fence in fences(page) if fence.language == "console"]
TARGETS = set(re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
CI = (ROOT / ".ci" / "run").read_text()

IN_CI = {
    "setup",
    "test",
    *re.search(r"^for check in ([a-z -]+);", CI, re.MULTILINE)[1].split(),
}  # test is a part of test-full
CHEAP = {"demo", "help"}

NOWHERE = {
    "make bench": "figures, not a test",
    "make clean": "takes the environment away that tests run in",
    "make test-long": "takes hours of CI's time, not minutes",
    "make test-backends": "likewise",
    "make image": "needs packages and minutes; tests/cluster builds it in its own way",
    "make testbed-": "tests/cluster does it in its own way",
    "make wheels": "downloads what the project depends on",
    "ctr": "gives an image to a node's runtime",
    "buildah": "needs an image of a distribution to begin with; tests/cluster builds ours",
    "helm": "needs Helm and a chart; tests/cli/test_validate.py reads standard input and skips templates",
    "kubectl": "for a cluster of one's own: choices, an editor, another page's files",
    "mnp": "asks about objects that a cluster has",
    "man": "shows a page; tests/packages/test_manpages.py formats all of them",
    "pre-commit": "changes the checkout's git hooks",
    "uv": "resolves everything anew from a package index",
}
"""Beginnings of commands, the longest that fits counts, and why no test runs them."""


def runner(fence, command):
    """The place where a command is run: the name of a file, or the reason why there is none; None if unknown."""
    program, *arguments = shlex.split(command)
    if fence.page == TUTORIAL:
        return "tests/packages/test_tutorial.py"
    if fence.page in ON_A_CLUSTER:
        return "tests/cluster"
    if any(other.startswith("pip install") for other in fence.commands):
        return "tests/packages/test_install.py"
    if "mnp_core.testing.suites" in arguments:
        return "tests/packages/test_suites.py"
    if program == "make" and {*arguments} <= IN_CI | CHEAP:
        return ".ci/run" if {*arguments} <= IN_CI else "tests/docs/test_console.py"
    reasons = [beginning for beginning in NOWHERE if command.startswith(beginning)]
    return f"nowhere: {NOWHERE[max(reasons, key=len)]}" if reasons else None


COMMANDS = [(fence, command, runner(fence, command)) for fence in FENCES for command in fence.commands]


def test_each_command_is_run_or_has_a_reason(figures):
    """The table is printed."""
    assert [f"{fence}: {command}" for fence, command, who in COMMANDS if who is None] == [], "say why in NOWHERE"
    nowhere = [(fence, command, who) for fence, command, who in COMMANDS if who.startswith("nowhere: ")]
    figures += ["", "commands of the documentation that are checked for form only, and why:"]
    figures += [f"  {fence}: {command:.70}: {who.removeprefix('nowhere: ')}" for fence, command, who in nowhere]


@pytest.mark.parametrize(
    ("fence", "command"),
    [(fence, command) for fence, command, who in COMMANDS if who is None or who.startswith(("nowhere", ".ci"))],
    ids=str,
)
def test_unrun_commands_exist(fence, command):
    program, *arguments = shlex.split(command)
    if program == "make":
        assert {*arguments} <= TARGETS
    for word in arguments:
        if word.startswith(("deploy/", "examples/", "plugins/", "scripts/", "./plugins/")):
            assert (ROOT / word).exists(), f"{fence}: {word}"


@pytest.mark.root
@pytest.mark.parametrize("target", sorted(CHEAP))
def test_cheap_targets_follow_the_readme(target):
    """`make setup` is done already: it must not change the environment that the tests run in."""
    command = ["make", "--no-print-directory", "--old-file=setup", target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    if target == "demo":
        [shown] = [fence.text for fence in fences(ROOT / "README.md") if "6 probes" in fence.text]
        assert "\n".join(lines(shown)) in "\n".join(lines(done.stdout))


@pytest.mark.parametrize("fence", [fence for page in ON_A_CLUSTER for fence in cluster_blocks(page)], ids=str)
def test_cluster_pages_can_be_run_as_scripts(fence):
    if fence.is_commands:
        assert subprocess.run(["bash", "-n"], input=fence.text, text=True, check=False).returncode == 0
    before = [other for other in cluster_blocks(fence.page) if other.line < fence.line]
    for name in re.findall(r"-f (\S+)", fence.text):
        assert name.startswith("deploy/") or (ROOT / name).exists() or name in {other.title for other in before}


def test_the_makefile_has_the_targets_of_ci():
    assert IN_CI | CHEAP <= TARGETS
