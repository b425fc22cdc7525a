"""The stand-in for the meta-plugin, without a cluster: what it makes of annotations, and how it calls plugins."""

import json

import pytest

from tests.cluster.standin.delegate import Delegate
from tests.cluster.standin.failure import Failure
from tests.cluster.standin.selection import Selection, parse
from tests.cluster.standin.status import entry

# Writes down how it was called, and answers with a result that names the plugins that were called so far.
PLUGIN = """#!/bin/sh
request=$(cat)
echo "$CNI_COMMAND $(basename "$0") $CNI_IFNAME [$CNI_ARGS] $request" >>"$CALLS"
[ ! -e "$0.fails" ] || { echo '{"code": 7, "msg": "no more addresses"}'; exit 1; }
[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion": "0.4.0", "by": "'$(basename "$0")'"}'
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Two CNI plugins, and what they were asked."""
    for name in ("first", "second"):
        (tmp_path / name).write_text(PLUGIN)
        (tmp_path / name).chmod(0o755)
    log = tmp_path / "calls"
    log.touch()
    monkeypatch.setenv("CNI_PATH", f"/nowhere:{tmp_path}")
    monkeypatch.setenv("CNI_ARGS", "IgnoreUnknown=1")
    monkeypatch.setenv("CALLS", str(log))

    def read():
        lines = [line.split(" ", 4) for line in log.read_text().splitlines()]
        return [(*words, json.loads(request)) for *words, request in lines]

    return read


CHAIN = {
    "cniVersion": "0.4.0",
    "name": "red",
    "plugins": [{"type": "first", "capabilities": {"ips": True}}, {"type": "second"}],
}


def test_the_short_form():
    assert parse("red, other/blue@data", "own") == [
        Selection(namespace="own", name="red", interface="net1"),
        Selection(namespace="other", name="blue", interface="data"),
    ]


def test_the_long_form():
    text = json.dumps(
        [{"name": "red", "ips": ["10.0.0.2/24"], "mac": "02:00:00:00:00:01"}, {"name": "b", "namespace": "n"}]
    )
    assert parse(text, "own") == [
        Selection(namespace="own", name="red", interface="net1", ips=["10.0.0.2/24"], mac="02:00:00:00:00:01"),
        Selection(namespace="n", name="b", interface="net2"),
    ]


def test_no_annotation_selects_nothing():
    assert parse("", "own") == []


@pytest.mark.parametrize("text", ["a/b/c", "red@", "[{}]", "[1]", "[", "re d"])
def test_what_is_no_selection_fails(text):
    with pytest.raises(Failure, match="annotation"):
        parse(text, "own")


def test_plugins_of_a_list_are_chained_and_taken_back_in_reverse(calls):
    delegate = Delegate(CHAIN, "net1", {"ips": ["10.0.0.2/24"]}, {"IP": "10.0.0.2/24"})
    result = delegate.add()
    delegate.delete(result)
    assert [" ".join(call[:2]) for call in calls()] == ["ADD first", "ADD second", "DEL second", "DEL first"]
    first, second, *_ = (call[-1] for call in calls())
    assert first["runtimeConfig"] == {"ips": ["10.0.0.2/24"]}
    assert "runtimeConfig" not in second
    assert second["prevResult"]["by"] == "first"
    assert result["by"] == "second"
    assert {call[3] for call in calls()} == {"[IgnoreUnknown=1;IP=10.0.0.2/24]"}


def test_every_plugin_is_asked_to_clean_up_whatever_the_others_say(calls, tmp_path):
    (tmp_path / "second.fails").touch()
    with pytest.raises(Failure, match="no more addresses"):
        Delegate(CHAIN, "net1").delete({"by": "second"})
    assert [call[1] for call in calls()] == ["second", "first"]


def test_a_single_configuration_is_a_chain_of_one(calls):
    assert Delegate({"cniVersion": "0.3.1", "name": "red", "type": "first"}, "net1").add()["by"] == "first"
    assert [call[2] for call in calls()] == ["net1"]


@pytest.mark.parametrize("kind", ["absent", "../../bin/true"])
def test_a_plugin_that_is_not_there_fails(kind, calls):
    with pytest.raises(Failure, match="no CNI plugin"):
        Delegate({"cniVersion": "0.4.0", "name": "red", "type": kind}, "net1").add()
    assert calls() == []


def test_status_tells_the_addresses_of_the_interface_in_the_sandbox():
    result = {
        "interfaces": [
            {"name": "veth1", "mac": "02:00:00:00:00:01"},
            {"name": "net1", "mac": "02:00:00:00:00:02", "sandbox": "x"},
        ],
        "ips": [{"address": "10.0.0.2/24", "interface": 1}, {"address": "fd00::2/64", "interface": 1}],
    }
    told = entry("own/red", "net1", result, default=False)
    assert (told["ips"], told["mac"]) == (["10.0.0.2", "fd00::2"], "02:00:00:00:00:02")
