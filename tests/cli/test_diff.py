"""`mnp diff`: the pairs that open and close."""

import json
import re
from itertools import product

import pytest
from hypothesis import given, seed, settings

from mnp_core.cli.diff import _states
from mnp_core.offline.differences import differences
from mnp_core.offline.reach import answers
from mnp_core.testing.corpus import HOSTILE_TEXTS
from mnp_core.testing.suites.differential.profile import SEED, in_proportion
from mnp_core.testing.suites.differential.strategies import clusters
from tests.cli.objects import A, B, network, pod, policy
from tests.cli.test_workloads import workload
from tests.differential.test_reachability import SPECS, objects_of

PROFILE = settings.get_profile("differential")
BASE = [network(), A, B]


@pytest.fixture
def diff(mnp, tmp_path):
    def run(old, new, *arguments):
        for name, objects in (("old.json", old), ("new.json", new)):
            (tmp_path / name).write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        return mnp("diff", tmp_path / "old.json", tmp_path / "new.json", *arguments)

    return run


def web(*ports):
    return policy(ingress=[{"ports": [{"port": port} for port in ports]}])


def test_pairs_that_open_and_close_are_listed(diff):
    ended = diff([*BASE, web(80)], [*BASE, web(81, 82)])
    assert ended.out.splitlines() == [
        "opened  any IPv4 outside -> demo/a on demo/data: tcp:81-82",
        "closed  any IPv4 outside -> demo/a on demo/data: tcp:80",
        "opened  demo/b -> demo/a on demo/data: tcp:81-82",
        "closed  demo/b -> demo/a on demo/data: tcp:80",
        "2 pairs open, 2 pairs close.",
    ]


def test_an_undeclared_port_counts(diff):
    """S12: a rule without ports opens all of them."""
    ended = diff([*BASE, web(80)], [*BASE, policy(ingress=[{}])], "-o", "json")
    (change,) = [each for each in json.loads(ended.out)["changes"] if each["from"] == ["demo/b"]]
    assert change["opened"] == ["icmp", "tcp:1-79", "tcp:81-65535", "udp", "sctp"]
    assert (change["closed"], change["pair"]) == ([], "kept")


@pytest.mark.parametrize(
    ("old", "new", "statuses"),
    [
        (80, 80, {"opened": 0, "closed": 0, "any": 0}),
        (80, 81, {"opened": 1, "closed": 1, "any": 1}),
        (None, 80, {"opened": 0, "closed": 1, "any": 1}),
        (80, None, {"opened": 1, "closed": 0, "any": 1}),
    ],
)
def test_the_exit_status_is_that_of_the_chosen_changes(diff, old, new, statuses):
    states = [[*BASE, *([web(port)] if port else [])] for port in (old, new)]
    assert {chosen: diff(*states, "--fail-on", chosen).status for chosen in statuses} == statuses
    assert diff(*states).status == 0


def test_equal_manifests_have_no_difference(diff, examples, mnp):
    assert diff(BASE, BASE).out == "No pair opens or closes.\n"
    for folder in sorted(path for path in examples.iterdir() if path.is_dir()):
        ended = mnp("diff", folder, folder, "--fail-on", "any")
        assert (ended.status, ended.out) == (0, "No pair opens or closes.\n")


def test_pairs_of_new_pods_and_of_pods_that_have_gone_say_so(diff):
    ended = diff(BASE, [network(), A, pod("c", networks="data")], "-o", "text", "--probe", "tcp:80")
    found = [line for line in ended.out.splitlines() if "outside" not in line]
    assert found[:4] == [
        "closed  demo/a -> demo/b on demo/data: tcp:80 (pair is gone)",
        "opened  demo/a -> demo/c on demo/data: tcp:80 (new pair)",
        "closed  demo/b -> demo/a on demo/data: tcp:80 (pair is gone)",
        "opened  demo/c -> demo/a on demo/data: tcp:80 (new pair)",
    ]


def test_a_new_pod_changes_no_address_of_the_others(diff):
    """Assumed addresses are no reason for a difference."""
    rule = {"from": [{"ipBlock": {"cidr": "10.10.0.3/32"}}]}
    objects = [*BASE, policy(ingress=[rule])]
    ended = diff(objects, [pod("0-first", networks="data"), *objects], "-o", "json")
    assert [each for each in json.loads(ended.out)["changes"] if each["pair"] == "kept"] == []


def test_equal_pods_are_one_line(diff):
    crowd = [workload("Deployment", f"web-{n}") for n in range(30)]
    ended = diff([*BASE, *crowd], [*BASE, *crowd, policy()], "-o", "json", "--probe", "tcp:80")
    found = json.loads(ended.out)
    assert [(len(each["from"]), each["to"]) for each in found["changes"]] == [(1, ["demo/a"]), (31, ["demo/a"])]
    assert found["summary"] == "0 pairs open, 32 pairs close."


def test_markdown_is_for_a_pull_request(diff):
    ended = diff([*BASE, policy()], BASE, "-o", "markdown", "--probe", "tcp:80")
    assert ended.out.splitlines()[-2:] == [
        "| any IPv4 outside | demo/a | demo/data | tcp:80 |  |",
        "| demo/b | demo/a | demo/data | tcp:80 |  |",
    ]
    assert ended.out.startswith("### Who reaches whom\n\n2 pairs open, 0 pairs close.\n")


def test_manifests_that_belong_to_both_are_named_once(diff, write):
    common = write("common.json", json.dumps(network()))
    ended = diff([A, B], [A, B, policy()], "--with", common, "--probe", "tcp:80", "--fail-on", "closed")
    assert (ended.status, "demo/b -> demo/a" in ended.out) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fail-on", "maybe"], "'maybe' is not one of"),
        (["--fail-on"], "requires an argument"),
        (["--fail-on", "OPENED "], "is not one of"),
        (["-o", "html"], "'html' is not one of"),
        (["--probe", "tcp:99999"], "ports are 1 to 65535"),
        (["--with", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["another.yaml"], "3 paths are given: name OLD and NEW"),
        (["--with", "-", "--with", "-"], "standard input can be read once"),
        (["-n", "A/B"], "is not the name of a namespace"),
    ],
)
def test_wrong_input_is_one_clear_message(diff, arguments, words):
    ended = diff(BASE, BASE, *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert words in ended.err


@pytest.mark.parametrize("paths", [("x",), ("x", "nowhere"), ("nowhere", "x"), ("-", "-")])
def test_missing_paths_are_an_error(mnp, write, paths):
    known = write("x", json.dumps(A))
    ended = mnp("diff", *(known if path == "x" else path for path in paths))
    assert (ended.status, ended.out) == (2, "")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
def test_hostile_names_stay_in_their_cells(diff, text):
    ended = diff(BASE, [*BASE, policy(name=text), policy()], "-o", "markdown", "--probe", "tcp:80")
    assert ended.status == (2 if "\udc80" in text else 0)  # no YAML has lone surrogates
    for line in ended.out.splitlines()[4:]:
        assert len(re.findall(r"(?<!\\)\|", line)) == 6


@seed(int(SEED or 0))
@settings(PROFILE, max_examples=in_proportion(50))
@given(clusters(), clusters())
def test_the_diff_is_the_difference_of_two_matrices(old, new):
    states = _states(objects_of(old), objects_of(new), SPECS)
    found = [set(), set()]
    for each in differences(*states):
        for source, destination in product(each.source.members, each.destination.members):
            for side, specs in zip(found, (each.opened, each.closed), strict=True):
                side |= {(source, destination, each.network, each.family, spec) for spec in specs}
    before, after = map(allowed, states)
    opened, closed = found
    assert {each for each in opened if each[0] != each[1]} == after - before
    assert {each for each in closed if each[0] != each[1]} == before - after


def allowed(state):
    """The allowed pairs of the matrix, pod by pod."""
    return {
        (each.source.name, each.destination.name, each.network, each.way.destination.address.version, each.spec)
        for each in answers(state.reach, state.ends, state.ends, lambda _: SPECS)
        if each.way.allowed
    }
