"""Another library reads the renderer's rules from the legacy tables, rule by rule."""

import json
import re
import shlex
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
from attrs import evolve

from mnp_core.model import CustomRules, DenyAction, Direction, EstablishedFlows
from mnp_core.testing.netns import private_namespace
from mnp_iptables.restore.script import parse
from plugins.iptables.tests.pods import Pod
from plugins.iptables.tests.test_applier import EVERYTHING

pytestmark = pytest.mark.root
READER = Path(__file__).with_name("legacy_reader.py")
SIDES = {"-s": "source", "-d": "destination", "-i": "in", "-o": "out", "-p": "protocol"}
EVERY_PACKET = {4: "0.0.0.0/0", 6: "::/0"}
SETTINGS = {
    "drop": {},
    "reject": {"deny_action": DenyAction.REJECT},
    "recheck": {"established_flows": EstablishedFlows.RECHECK},
    "custom": {
        "custom": (CustomRules(direction=Direction.INGRESS, family=4, lines=("-p udp -m udp --dport 9 -j ACCEPT",)),),
        "accept_icmp": True,
        "accept_icmpv6": True,
        "accept_multicast_management": True,
        "allow_src_prefixes": (ip_network("10.7.0.0/16"), ip_network("fd07::/32")),
    },
}


def written(text, family):
    """The rules of a table as `iptables-restore` takes them, in the form of the reader."""
    lines = [line for line in text.splitlines() if line.startswith(("-A ", "-I "))]
    jumps = [line for line in reversed(lines) if line.startswith("-I ")]  # the last one goes to the top
    return [rule(shlex.split(line), family) for line in (*jumps, *(line for line in lines if line.startswith("-A ")))]


def rule(words, family):
    found = dict.fromkeys(SIDES.values()) | {
        "chain": words[1],
        "matches": [],
        "target": "",
        "parameters": {},
        "goto": False,
    }
    found |= {"source": EVERY_PACKET[family], "destination": EVERY_PACKET[family]}
    options = found["parameters"]
    words, place = words[2:], 0
    while place < len(words):
        word, values = words[place], []
        place += 1
        while place < len(words) and not words[place].startswith("-"):
            values.append(words[place])
            place += 1
        if word in SIDES:
            found[SIDES[word]] = values[0]
        elif word == "-m":
            options = {}
            found["matches"].append([values[0], options])
        elif word in {"-j", "-g"}:
            found["target"], found["goto"], options = values[0], word == "-g", found["parameters"]
        else:
            options[word.removeprefix("--").replace("-", "_")] = " ".join(values)
    return canonical(found)


def canonical(found):
    """One notation: networks as such, protocols by name, sets without their version."""
    protocols = {None: "ip", "ipv6-icmp": "icmpv6", "2": "igmp"}
    matches = [[name, with_plain_values(options)] for name, options in found["matches"]]
    return found | {
        "source": ip_network(found["source"], strict=False),
        "destination": ip_network(found["destination"], strict=False),
        "protocol": protocols.get(found["protocol"], found["protocol"]),
        "matches": matches,
        "parameters": with_plain_values(found["parameters"]),
    }


def with_plain_values(options):
    words = {key: " ".join(value) if isinstance(value, list) else value for key, value in options.items()}
    version = re.compile(r"(mnp[be]?[46]-[a-z2-7]+)-l\d\b")
    return {key.replace("-", "_"): version.sub(r"\1", value) for key, value in words.items()}


def by_chain(rules):
    rules = list(rules)
    chains = {rule["chain"]: [] for rule in rules}
    for each in rules:
        chains[each["chain"]].append(each)
    return chains


@pytest.fixture
def pod(cleanup):
    return Pod(cleanup.enter_context(private_namespace()), cleanup, "legacy")


@pytest.mark.parametrize("settings", SETTINGS)
def test_another_library_reads_the_rules_that_were_written(pod, settings):
    """S60, S63: python-iptables, in a process of its own."""
    ruleset = pod.enforce(evolve(EVERYTHING, common=evolve(EVERYTHING.common, **SETTINGS[settings])))
    script = parse(ruleset.text)
    [table] = {next(iter(tables)) for tables in script.tables.values()}
    seen = json.loads(pod.program(sys.executable, str(READER), table))
    for family, tables in script.tables.items():
        wanted = written(tables[table], family)
        found = [canonical(each) for each in seen[str(family)]]
        assert len(wanted) > 10
        assert by_chain(found) == by_chain(wanted)


def test_a_rule_of_another_program_shows(pod):
    """The comparison is with the kernel's tables: an extra rule is seen."""
    ruleset = pod.enforce(EVERYTHING)
    pod.program("iptables-legacy", "-t", "mangle", "-I", "MNP-I-net1", "-p", "tcp", "-j", "RETURN")
    seen = json.loads(pod.program(sys.executable, str(READER), "mangle"))["4"]
    wanted = by_chain(written(parse(ruleset.text).tables[4]["mangle"], 4))["MNP-I-net1"]
    assert by_chain(map(canonical, seen))["MNP-I-net1"][1:] == wanted
