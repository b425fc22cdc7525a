"""The suites of the kit, run from built wheels by an author who has a backend and no checkout."""

import re

import pytest

from tests.docs.fences import DOCS, fences

pytestmark = [pytest.mark.root, pytest.mark.full]  # each fills an environment of its own

COMMANDS = [command for fence in fences(DOCS / "plugins.md") for command in fence.commands]
PART = "'truth_table and actions or packets_agree_with_both_evaluations or without_policies or clears_before'"


@pytest.fixture
def author(environment, dist, tmp_path):
    """Runs the commands of the page on plugins, a part of each suite, with a backend of a distribution."""
    environment.install("mnp-core[testing]", links=dist)
    folder = tmp_path / "empty"
    folder.mkdir()

    def run(distribution, backend):
        environment.install(distribution, links=dist)
        [command] = [line for line in COMMANDS if "mnp_core.testing.suites" in line]
        command = f"{command.replace('NAME', backend)} -p no:cacheprovider -W error -k {PART}"
        return environment.shell(command, folder=folder, MNP_CASES="5")

    return run


@pytest.mark.parametrize(
    ("distribution", "backend"),
    [("mnp-example", "example"), ("mnp-nftables", "nftables")],
)
def test_an_author_runs_them_with_a_backend_by_its_name(author, distribution, backend):
    ended = author(distribution, backend)
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-5000:]
    results = re.findall(rf"^{backend} +(\w+) +(\d+) +(\d+)$", ended.stdout, re.MULTILINE)
    assert results == [("atomicity", "2", "2"), ("differential", "1", "1"), ("truthtable", "1", "1")]
    assert re.search(r"^=+ 4 passed, \d+ deselected", ended.stdout, re.MULTILINE)


def test_a_backend_that_is_not_installed_is_an_error_that_names_it(author):
    ended = author("mnp-nftables", "slate")
    assert ended.returncode == 4, ended.stdout + ended.stderr
    assert "--backend: " in ended.stderr + ended.stdout
    assert "slate" in ended.stderr + ended.stdout
