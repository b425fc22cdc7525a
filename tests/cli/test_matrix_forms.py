"""`mnp matrix` in each form, and what becomes of hostile names there."""

import csv
import json
import re
from io import StringIO

import pytest

from mnp_core.cli.formats.csvtext import csv_text
from mnp_core.cli.formats.dot import dot_text
from mnp_core.cli.formats.lines import text_lines
from mnp_core.cli.formats.markdown import markdown_text
from mnp_core.model import Attachment, Direction, ObjectName, Protocol, parse_address
from mnp_core.offline.probe import ProbeSpec
from mnp_core.offline.reach import End, answers
from mnp_core.policy.ends import Host
from mnp_core.policy.reachability import Reachability
from mnp_core.testing.corpus import HOSTILE_TEXTS, named_by
from tests.cli.objects import A, B, network, pod, policy

HOSTILE = [
    *HOSTILE_TEXTS,
    "</script><script>alert(1)</script>",
    "=1+1",
    "<img src=x onerror=alert(1)>",
    "a | b",
    "@all",
]


@pytest.fixture
def run(mnp, tmp_path):
    def run_on(objects, *arguments):
        path = tmp_path / "objects.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        return mnp("matrix", path, *arguments)

    return run_on


OBJECTS = [network(), A, B, policy()]


def test_lines_have_the_ports_of_a_pair_together(run):
    ended = run(OBJECTS, "-o", "list", "--probe", "tcp:80", "--probe", "udp:53")
    assert (ended.status, ended.out.splitlines(), ended.err) == (
        0,
        [
            "allowed  demo/a -> demo/b on demo/data: tcp:80, udp:53",
            "denied   demo/b -> demo/a on demo/data: tcp:80, udp:53",
        ],
        "",
    )


def test_csv_names_the_policies_that_decide(run):
    rows = list(csv.DictReader(StringIO(run(OBJECTS, "-o", "csv").out)))
    assert [(row["from"], row["to"], row["verdict"], row["ingress-policies"]) for row in rows] == [
        ("demo/a", "demo/b", "allowed", ""),
        ("demo/b", "demo/a", "denied", "MultiNetworkPolicy demo/deny"),
    ]


def test_markdown_is_a_table(run):
    assert run(OBJECTS, "-o", "markdown").out.splitlines() == [
        "| From | To | Network | Allowed | Denied |",
        "|---|---|---|---|---|",
        "| demo/a | demo/b | demo/data | tcp:80 |  |",
        "| demo/b | demo/a | demo/data |  | tcp:80 |",
    ]


def test_dot_has_an_edge_for_each_allowed_pair(run):
    out = run(OBJECTS, "-o", "dot").out
    assert re.findall(r"(\S+) -> (\S+) \[label=(.*)\];", out) == [('"demo/a"', '"demo/b"', '"demo/data: tcp:80"')]


def test_json_has_the_reasons(run):
    found = json.loads(run(OBJECTS, "-o", "json", "--from", "demo/b").out)
    (probe,) = found["probes"]
    assert (probe["verdict"], probe["ingress"]["policies"]) == ("denied", ["MultiNetworkPolicy demo/deny"])
    assert found["groups"] == {}


def test_every_form_says_what_an_audit_would_deny(run):
    """S72: the flow passes, and is marked."""
    audit = policy(ingress=[{"ports": [{"port": 80}]}])
    audit["metadata"]["annotations"]["mnp.k8s.cni.cncf.io/enforcement"] = "audit"

    def out(form):
        ports = ("--probe", "tcp:80", "--probe", "tcp:81")
        return run([network(), A, B, audit], "-o", form, "--from", "demo/b", *ports).out

    assert out("list").splitlines() == [
        "allowed  demo/b -> demo/a on demo/data: tcp:80, tcp:81",
        "would deny (audit)  demo/b -> demo/a on demo/data: tcp:81",
    ]
    assert out("markdown").splitlines()[0] == "| From | To | Network | Allowed | Denied | Would deny (audit) |"
    assert out("markdown").splitlines()[2] == "| demo/b | demo/a | demo/data | tcp:80, tcp:81 |  | tcp:81 |"
    assert [line for line in out("dot").splitlines() if "->" in line] == [
        '  "demo/b" -> "demo/a" [label="demo/data: tcp:80"];',
        '  "demo/b" -> "demo/a" [label="demo/data, would deny (audit): tcp:81", style=dashed];',
    ]
    rows = list(csv.DictReader(StringIO(out("csv"))))
    assert [(row["port"], row["verdict"], row["would-deny"]) for row in rows] == [
        ("80", "allowed", "no"),
        ("81", "allowed", "yes"),
    ]
    assert rows[1]["ingress-audit-policies"] == "MultiNetworkPolicy demo/deny"
    probes = json.loads(out("json"))["probes"]
    assert [(each["verdict"], each["would-deny"]) for each in probes] == [("allowed", False), ("allowed", True)]
    assert re.findall(r"demo/b +(allowed|would deny \(audit\))", out("table")) == ["allowed", "would deny (audit)"]


def test_blocks_outside_of_the_cluster_are_ends(run):
    block = {"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.8/32"]}}
    ended = run([*OBJECTS[:3], policy(ingress=[{"from": [block]}])], "-o", "json", "--outside", "--to", "demo/a")
    probes = [each for each in json.loads(ended.out)["probes"] if each["to"] == "demo/a"]
    assert {each["from"]: (each["verdict"], each["egress"]["address"]) for each in probes} == {
        "demo/b": ("denied", "10.10.0.3"),
        "192.0.2.0/24 except 192.0.2.8/32": ("allowed", None),
        "192.0.2.8/32": ("denied", None),
        "other IPv4 outside": ("denied", None),
    }


def test_pods_with_equal_answers_are_a_group(run):
    others = [pod(f"web-{n}", networks="data") for n in range(5)]
    ended = run([*OBJECTS, *others], "-o", "list", "--group")
    assert ended.out.splitlines() == [
        "allowed  demo/a -> demo/b (+5) on demo/data: tcp:80",
        "denied   demo/b (+5) -> demo/a on demo/data: tcp:80",
        "allowed  demo/b (+5) -> demo/b (+5) on demo/data: tcp:80",
    ]
    assert "demo/b (+5) are demo/b, demo/web-0, demo/web-1, demo/web-2, demo/web-3, demo/web-4" in ended.err


def test_pods_on_both_sides_and_others_are_different_groups(run):
    others = [pod(f"web-{n}", networks="data") for n in range(3)]
    ended = run([*OBJECTS, *others], "-o", "list", "--group", "--from", "demo/web-0", "--from", "demo/b")
    assert ended.out.splitlines()[0] == "denied   demo/b (+1) -> demo/a on demo/data: tcp:80"
    assert "allowed  demo/b (+1) -> demo/web-1 (+1) on demo/data: tcp:80" in ended.out


def test_many_pods_are_grouped_without_being_asked(run):
    ended = run([network(), A, policy(), *(pod(f"web-{n}", networks="data") for n in range(250))], "-o", "list")
    assert len(ended.out.splitlines()) == 3
    refused = run([network(), A, *(pod(f"web-{n}", networks="data") for n in range(250))], "--no-group")
    assert refused.status == 2
    assert "no readable matrix: narrow it with --from and --to" in refused.err


def test_pods_with_unknown_addresses_are_judged_by_identity(run):
    """Addresses by DHCP are only known in a cluster; labels are known here."""
    dhcp = {"type": "macvlan", "master": "eth1", "ipam": {"type": "dhcp"}}
    c = pod("c", networks="data")
    peers = [{"podSelector": {"matchLabels": {"app": "b"}}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]
    ended = run([network(**dhcp), A, B, c, policy(ingress=[{"from": peers}])], "-o", "json", "--to", "demo/a")
    probes = json.loads(ended.out)["probes"]
    assert [(each["from"], each["verdict"], each["address"]) for each in probes] == [
        ("demo/b", "allowed", None),
        ("demo/c", "denied", None),
    ]
    assert "addresses of some pods are not known" in run([network(**dhcp), A, B], "-o", "list").err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "yaml"], "'yaml' is not one of"),
        (["-o", ""], "'' is not one of"),
        (["-o", "json", "-o"], "requires an argument"),
        (["--from", "demo/nobody"], "there is no pod demo/nobody"),
        (["--from", "a/b/c"], "write namespace/name"),
        (["--to", ""], "'' is not a name"),
        (["--probe", "tcp"], "is not a probe"),
        (["--probe", "tcp:0"], "ports are 1 to 65535"),
        (["--probe", "gre:1"], "is not a probe"),
    ],
)
def test_wrong_input_is_one_clear_message(run, arguments, words):
    ended = run(OBJECTS, *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert words in ended.err


# --- hostile names ------------------------------------------------------------------------------------------------


def hostile_answers(text):
    """Two pods, a network and a policy of that name."""
    rules = named_by(text)
    hosts = [
        Host(
            pod=ObjectName(text, f"{text}{number}"),
            attachments=(
                Attachment(
                    pod=ObjectName(text, f"{text}{number}"),
                    network=ObjectName("demo", text),
                    interface="net1",
                    addresses=(parse_address(f"10.0.0.{number}"),),
                    kind="macvlan",
                ),
            ),
            sandbox=rules,
        )
        for number in (1, 2)
    ]
    ends = [End.pod(host, [ProbeSpec(protocol=Protocol.TCP, port=80)]) for host in hosts]
    assert rules.interfaces[0].of(Direction.INGRESS)
    return list(answers(Reachability(hosts), ends, ends))


each_text = pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))


@each_text
def test_a_hostile_name_stays_in_its_line(text):
    lines = list(text_lines(hostile_answers(text)))
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


@each_text
def test_a_hostile_name_stays_in_its_cell(text):
    rows = list(csv.reader(StringIO(csv_text(hostile_answers(text)))))
    assert [len(row) for row in rows] == [17] * 3
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]


@each_text
def test_a_hostile_name_is_no_markup_in_markdown(text):
    lines = markdown_text(hostile_answers(text)).splitlines()
    assert len(lines) == 4
    for line in lines[2:]:
        assert len(re.findall(r"(?<!\\)\|", line.replace("\\\\", ""))) == 6
        assert not re.search(r"(?<!\\)[<>`@#]", line.replace("\\\\", ""))


@each_text
def test_a_hostile_name_stays_in_its_string_in_dot(text):
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", dot_text(hostile_answers(text)))
    assert re.fullmatch(r"[\s\w={};\[\]>-]*", outside)
    assert "\\N" not in dot_text(hostile_answers("\\N")).replace("\\\\", "")
