"""render, explain and validate: no privileges, no cluster."""

import json
import os
import subprocess
import sys

import pytest

from mnp_core.cli.terminal import print_line, remark


def explain(mnp, examples, *arguments, example="quickstart"):
    return mnp("explain", examples / example, *arguments)


# --- explain --------------------------------------------------------------------------------------------------------


def test_explain_says_which_rule_allows_it(mnp, examples):
    ended = explain(mnp, examples, "--from", "demo/client", "--to", "demo/web", "--port", "tcp:80")
    assert ended.status == 0
    assert "TCP/80 on demo/data: allowed" in ended.out
    assert "allowed by rule MultiNetworkPolicy demo/web-allow-client ingress[0]" in ended.out
    assert ended.err == ""


def test_explain_says_that_no_rule_allows_it_and_who_isolates(mnp, examples):
    ended = explain(mnp, examples, "--from", "demo/stranger", "--to", "demo/web")
    assert ended.status == 0
    assert "denied, no rule allows it" in ended.out
    assert "MultiNetworkPolicy demo/web-allow-client, MultiNetworkPolicy demo/web-deny" in ended.out


def test_explain_for_programs(mnp, examples):
    ended = explain(mnp, examples, "--from", "demo/client", "--to", "demo/web", "--port", "udp:53", "--output", "json")
    (found,) = json.loads(ended.out)["explanations"]
    assert (found["protocol"], found["port"], found["verdict"]) == ("UDP", 53, "denied")
    assert found["ingress"]["policies"] == [
        "MultiNetworkPolicy demo/web-allow-client",
        "MultiNetworkPolicy demo/web-deny",
    ]
    assert json.loads(ended.out)["reports"] == []


def test_explain_asks_for_the_declared_ports_if_none_is_given(mnp, examples):
    ended = explain(mnp, examples, "--from", "shop/client", "--to", "shop/db", example="egress")
    assert "TCP/5432" in ended.out
    assert "TCP/80" not in ended.out


def test_explain_takes_several_ports(mnp, examples):
    ports = ("--port", "tcp:80", "--port", "icmp")
    ended = explain(mnp, examples, "--from", "demo/client", "--to", "demo/web", *ports)
    assert ended.out.count(" -> ") == 2


def test_explain_takes_addresses_of_pods_and_of_others(mnp, examples):
    inside = explain(mnp, examples, "--from", "10.10.0.20", "--to", "10.10.0.10", example="ipblock-except")
    assert "shop/inside" in inside.out
    assert "TCP/80 on shop/data: allowed" in inside.out
    outside = explain(mnp, examples, "--from", "10.10.0.99", "--to", "shop/web", example="ipblock-except")
    assert "10.10.0.99 is outside of the cluster" in outside.out
    assert "denied, no rule allows it" in outside.out


def test_explain_without_a_common_network(mnp, write):
    pods = "\n---\n".join(
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: demo}}" for name in ("one", "two")
    )
    ended = mnp("explain", write("pods.yaml", pods), "--from", "demo/one", "--to", "demo/two")
    assert (ended.status, "share no network" in ended.out) == (0, True)


# --- render ---------------------------------------------------------------------------------------------------------


def test_render_prints_the_ruleset_of_each_pod(mnp, examples):
    ended = mnp("render", examples / "quickstart", "--backend", "nftables")
    assert ended.status == 0
    assert [line for line in ended.out.splitlines() if line.startswith("# pod")] == [
        "# pod demo/client, nftables",
        "# pod demo/stranger, nftables",
        "# pod demo/web, nftables",
    ]
    assert "MultiNetworkPolicy demo/web-allow-client" in ended.out


def test_render_of_one_pod_for_programs(mnp, examples):
    ended = mnp("render", examples / "quickstart", "--pod", "demo/web", "--backend", "nftables", "-o", "json")
    (ruleset,) = json.loads(ended.out)["rulesets"]
    assert (ruleset["pod"], ruleset["dialect"]) == ("demo/web", "nftables")
    assert ruleset["digest"] in ruleset["text"]


def test_settings_reach_the_rules(mnp, examples, write):
    settings = write("settings.yaml", "deny-action: reject\n")
    render = ("render", examples / "deny-all", "--backend", "nftables")
    plain, rejecting = mnp(*render).out, mnp(*render, "--settings", settings).out
    assert "reject" in rejecting
    assert "reject" not in plain


BROKEN = {
    "nftables": "# the web\ntcp dprot 80 accept\n",
    "iptables-nft": "# the web\n-p tcp --dprot 80 -j ACCEPT\n",
    "iptables-legacy": "# the web\n-p tcp --dprot 80 -j ACCEPT\n",
    "iptables": "# the web\n-p tcp --dprot 80 -j ACCEPT\n",
}


@pytest.mark.root
@pytest.mark.parametrize("written_by", BROKEN)
def test_render_refuses_a_custom_rule_file_as_the_start_of_a_node_does(mnp, examples, write, written_by):
    write("in4", BROKEN[written_by])
    settings = write("settings.yaml", "custom-v4-ingress-rule-file: in4\n")
    ended = mnp("render", examples / "deny-all", "--backend", written_by, "--settings", settings)
    assert (ended.status, ended.out) == (2, "")
    assert "custom-v4-ingress-rule-file: in4: line 2: " in ended.err


@pytest.mark.parametrize(("written_by", "rule"), [("nftables", "tcp dport 80 accept"), ("iptables", "-p tcp -j DROP")])
def test_render_says_that_custom_rules_cannot_be_tried_without_privileges(examples, write, written_by, rule):
    write("in4", rule + "\n")
    settings = write("settings.yaml", "custom-v4-ingress-rule-file: in4\n")
    ended = unprivileged("render", examples / "deny-all", "--backend", written_by, "--settings", settings)
    assert (ended.returncode, rule in ended.stdout) == (0, True)
    assert ended.stderr.startswith("Warning: the custom rules stand here as they are in their files, untried: ")
    assert "run as root" in ended.stderr


# --- validate -------------------------------------------------------------------------------------------------------


def test_validate_finds_nothing_wrong_with_the_examples(mnp, examples):
    for folder in sorted(path.parent for path in examples.glob("*/policy.yaml")):
        ended = mnp("validate", folder)
        assert (ended.status, ended.out.splitlines()[0].startswith("no problems in ")) == (0, True), ended.out


BROKEN_POLICY = """
    apiVersion: k8s.cni.cncf.io/v1beta1
    kind: MultiNetworkPolicy
    metadata:
      name: broken
      namespace: demo
      annotations: {k8s.v1.cni.cncf.io/policy-for: nowhere}
    spec:
      podSelector: {}
      ingress:
      - from:
        - ipBlock: {cidr: 10.0.0.0/99}
"""


def test_validate_names_object_field_and_remedy_and_ends_with_1(mnp, write):
    ended = mnp("validate", write("policy.yaml", BROKEN_POLICY))
    assert ended.status == 1
    assert "MultiNetworkPolicy demo/broken: spec.ingress[0].from[0].ipBlock" in ended.out
    assert "there is no network demo/nowhere" in ended.out
    assert ended.out.splitlines()[-1].startswith("2 problems in ")


def test_validate_has_colours_on_a_terminal_unless_switched_off(mnp, write, monkeypatch):
    file = write("policy.yaml", BROKEN_POLICY)
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert "\x1b" not in mnp("validate", file).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[31m  UnknownNetwork" in mnp("validate", file).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in mnp("validate", file).out


def test_lines_carry_no_control_characters(capsys):
    for write_line in (print_line, remark):
        write_line("a\x1b[2J\rb\x9bc\x7fd\te")
    assert capsys.readouterr() == ("a[2Jbcd\te\n",) * 2


def test_validate_for_programs(mnp, write):
    ended = mnp("validate", write("policy.yaml", BROKEN_POLICY), "--output", "json")
    reports = json.loads(ended.out)["reports"]
    assert {report["reason"] for report in reports} == {"InvalidBlock", "UnknownNetwork"}
    of_every_command = {"kind", "name", "field", "reason", "message", "remedy", "severity"}
    assert all(report.keys() == of_every_command | {"rule", "file", "line", "column"} for report in reports)


def test_validate_looks_at_the_rest_when_something_does_not_fit(mnp, write):
    """S6"""
    lost = """
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: lost, namespace: demo, annotations: {k8s.v1.cni.cncf.io/networks: missing}}
    """
    write("a.yaml", lost)
    ended = mnp("validate", write("b.yaml", BROKEN_POLICY).parent)
    assert ended.status == 1
    assert "the definition of demo/missing does not exist" in ended.out
    assert "spec.ingress[0].from[0].ipBlock" in ended.out


# --- wrong input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["validate", "missing.yaml"], ["missing.yaml: cannot be read", "No such file"]),
        (["validate"], ["Missing argument", "PATH"]),
        (["validate", "{broken}"], ["broken.yaml, document 2", "line 6"]),
        (["render", "{quickstart}", "--backend", "iptable"], ["'iptable'", "nftables"]),
        (
            ["render", "{quickstart}", "--pod", "demo/wed"],
            ["there is no pod demo/wed", "demo/client, demo/stranger, demo/web"],
        ),
        (["render", "{quickstart}", "--pod", "a/b/c"], ["'a/b/c' is not a name", "namespace/name"]),
        (["render", "{quickstart}", "--settings", "missing.yaml"], ["missing.yaml", "cannot be read"]),
        (
            ["render", "{quickstart}", "--settings", "{wrong}"],
            ["accept-icpm: there is no such setting", "'accept-icmp'"],
        ),
        (["render", "{quickstart}", "--settings", "{torn}"], ["torn.yaml, document 1, line 2", "not YAML"]),
        (["render", "{quickstart}", "--settings", "{twice}"], ["twice.yaml, document 1, line 2", "stands twice"]),
        (["render", "{quickstart}", "--settings", "{two}"], ["two.yaml", "several documents"]),
        (["explain", "{quickstart}", "--from", "demo/client"], ["Missing option '--to'"]),
        (
            ["explain", "{quickstart}", "--from", "demo/client", "--to", "demo/web", "--port", "http"],
            ["'http' is not a probe", "tcp:80, udp:53, sctp:99 or icmp"],
        ),
        (["explain", "{quickstart}", "--from", "demo/client", "--to", "demo/nobody"], ["there is no pod demo/nobody"]),
        (["rendr", "{quickstart}"], ["No such command 'rendr'"]),
    ],
)
def test_wrong_input_is_one_clear_message(mnp, examples, write, arguments, words):
    places = {
        "quickstart": examples / "quickstart",
        "broken": write("broken.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\nb: [\n"),
        "wrong": write("wrong.yaml", "accept-icpm: true\n"),
        "torn": write("torn.yaml", "network-plugins: [\n"),
        "twice": write("twice.yaml", "deny-action: reject\ndeny-action: drop\n"),
        "two": write("two.yaml", "accept-icmp: true\n---\naccept-icmpv6: true\n"),
    }
    ended = mnp(*(argument.format(**places) for argument in arguments))
    assert ended.status == 2
    assert ended.out == ""
    assert all(word in ended.err for word in words), ended.err
    assert "Traceback" not in ended.err


OFFLINE = (
    ["render", "--backend", "nftables"],
    ["validate"],
    ["explain", "--from", "demo/client", "--to", "demo/web"],
)


def unprivileged(*arguments):
    """The program without any capability: a root in name only."""
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*powerless, sys.executable, "-m", "mnp_core.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", OFFLINE)
def test_offline_commands_need_no_privileges(examples, command):
    process = unprivileged(command[0], examples / "quickstart", *command[1:])
    assert (process.returncode, process.stderr) == (0, "")
