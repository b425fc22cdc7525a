"""The CNI plugin by the rules of the CNI specification."""

import json
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import pytest

from mnp_cnigate import CniGate
from mnp_core.api import Admission, Decision, GateInterface, PodStart
from mnp_core.model import ObjectName
from plugins.cnigate.tests.calls import POD, RESULT, agent

VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")


@pytest.fixture
def gate(plugin, keeper):
    gate = CniGate(plugin.socket)
    gate.open(keeper)
    yield gate
    gate.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.usefixtures("gate")
def test_add_prints_prev_result_byte_for_byte(plugin, version):
    assert plugin("ADD", version=version) == (0, RESULT + b"\n", "")


@pytest.mark.usefixtures("gate")
def test_add_describes_the_pod_to_the_keeper(plugin, keeper):
    assert plugin("ADD", network="demo/data", seconds=7)[0] == 0
    [(start, seconds)] = keeper.asked
    addresses = (ip_address("10.0.0.1"), ip_address("fd00::1"))
    made = GateInterface(name="net1", network="demo/data", addresses=addresses, mac="02:00:00:00:00:01")
    assert start == PodStart(
        pod=ObjectName("demo", "web-0"), uid="11-22", netns="/run/netns/x", interfaces=(made,), annotations=None
    )
    assert 5 < seconds < 7


@pytest.mark.usefixtures("gate")
def test_name_of_the_configuration_is_not_the_networks(plugin, keeper):
    plugin("ADD")
    assert keeper.asked[0][0].interfaces[0].network == ""


@pytest.mark.parametrize("limit", ["closed", "open"])
@pytest.mark.usefixtures("gate")
def test_refusal_is_try_again_later(plugin, keeper, limit):
    keeper.decision = Decision(admission=Admission.REFUSED, reason='its "rules" are\nnot ä in force. Look\\see')
    error = plugin.error("ADD", atLimit=limit, version="1.1.0")
    assert (error["code"], error["cniVersion"]) == (11, "1.1.0")
    assert error["details"] == 'its "rules" are not ä in force. Look\\see'


@pytest.mark.parametrize("admission", [Admission.DENIED, Admission.OPEN])
@pytest.mark.usefixtures("gate")
def test_denied_and_opened_pods_start(plugin, keeper, admission):
    keeper.decision = Decision(admission=admission, reason="late")
    assert plugin("ADD")[:2] == (0, RESULT + b"\n")


def absent(_path):
    """No agent at all."""


def dead(path):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("before", [absent, dead])
@pytest.mark.parametrize(("verb", "code"), [("ADD", 11), ("CHECK", 11), ("STATUS", 50)])
def test_missing_agent_closes(plugin, before, verb, code):
    before(plugin.socket)
    error = plugin.error(verb, version="1.1.0")
    assert error["code"] == code
    assert str(plugin.socket) in error["details"]


def test_missing_agent_opens_where_the_configuration_says_so(plugin):
    status, output, log = plugin("ADD", atLimit="open")
    assert (status, output) == (0, RESULT + b"\n")
    assert log.count("\n") == 1
    assert 'atLimit is "open"' in log
    assert plugin("CHECK", atLimit="open")[:2] == (0, b"")
    assert plugin("STATUS", atLimit="open", version="1.1.0")[:2] == (0, b"")


def silent(connection):
    while connection.recv(1 << 16):
        pass


def drip(connection):
    """Bytes without an end, each of which is progress."""
    for _ in range(40):
        try:
            connection.sendall(b"m")
        except OSError:
            return
        time.sleep(0.1)


def say(text):
    def talk(connection):
        connection.recv(1 << 16)
        connection.sendall(text)

    return talk


TALKS = {
    "silent": silent,
    "drip": drip,
    "gone": lambda connection: connection.recv(1),
    "flood": say(b"mnp-cnigate/1 " + b"x" * 100_000),
    "other version": say(b"mnp-cnigate/2 admitted\n"),
    "other word": say(b"mnp-cnigate/1 admit\n"),
    "no word": say(b"mnp-cnigate/1 \n"),
    "HTTP": say(b"HTTP/1.1 400 Bad Request\n"),
    "nothing": say(b"\n"),
    "half": say(b"mnp-cnigate/1 admitted"),
    "zeros": say(b"\0" * 100 + b"\n"),
}


@pytest.mark.parametrize("talk", TALKS.values(), ids=TALKS)
def test_bad_agent_is_no_agent(plugin, talk):
    began = time.monotonic()
    with agent(plugin.socket, talk):
        assert plugin.error("ADD", seconds=1)["code"] == 11
        assert plugin("ADD", seconds=1, atLimit="open")[:2] == (0, RESULT + b"\n")
    assert time.monotonic() - began < 20


def test_full_backlog_is_waited_for_only_as_long_as_configured(plugin):
    plugin.socket.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(str(plugin.socket))
        server.listen(0)
        first.connect(str(plugin.socket))
        assert plugin.error("ADD", seconds=1)["code"] == 11


def test_answer_that_comes_before_the_request_was_read_counts(plugin):
    """A busy agent does not read first."""
    large = b'{"x":"' + b"a" * 900_000 + b'"}'
    with agent(plugin.socket, lambda connection: connection.sendall(b"mnp-cnigate/1 refused busy\n")):
        assert plugin.error("ADD", result=large, atLimit="open")["details"] == "busy"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.usefixtures("gate")
def test_verbs_of_each_version(plugin, version):
    since = {"ADD": "0.3.1", "DEL": "0.3.1", "CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}
    for verb, first in since.items():
        if version >= first or verb == "DEL":
            assert plugin(verb, version=version)[0] == 0, verb
        else:
            assert plugin.error(verb, version=version)["code"] == 1, verb


@pytest.mark.parametrize("verb", ["CHECK", "DEL", "GC", "STATUS"])
@pytest.mark.usefixtures("gate")
def test_other_verbs_print_nothing(plugin, verb):
    assert plugin(verb, version="1.1.0") == (0, b"", "")


def test_check_and_status_ask_no_keeper(plugin, keeper, gate):
    plugin("CHECK")
    plugin("STATUS", version="1.1.0")
    assert (keeper.asked, keeper.ended, gate.problem) == ([], [], "")


@pytest.mark.parametrize("version", [*VERSIONS, "0.2.0"])
def test_version_is_answered_in_the_callers_version(plugin, version):
    status, output, _ = plugin("VERSION", given=json.dumps({"cniVersion": version}).encode())
    assert status == 0
    assert json.loads(output) == {"cniVersion": version, "supportedVersions": [*VERSIONS]}


@pytest.mark.parametrize(
    "given", [b"", b"{", b'{"cniVersion":"\\"}{"}', b'{"cniVersion":1}', b'{"cniVersion":"' + b"1" * 40 + b'"}']
)
def test_version_needs_no_valid_input(plugin, given):
    status, output, _ = plugin("VERSION", given=given)
    assert (status, json.loads(output)["cniVersion"]) == (0, "1.1.0")


@pytest.mark.parametrize("version", ["", "0.1.0", "0.2.0", "0.3.0", "1.0", "1.1.1", "2.0.0", 1, None])
def test_other_versions_are_refused(plugin, version):
    error = plugin.error("ADD", version=version)
    assert error["code"] == 1
    assert error["cniVersion"] in {version, "1.1.0"}


BAD_ENVIRONMENT = {
    "CNI_COMMAND": [None, "", "add", "ADDX"],
    "CNI_CONTAINERID": [None, "", "-a", "a/b", "a b", "a" * 256],
    "CNI_IFNAME": [None, "", ".", "..", "a/b", "a:b", "a b", "sixteen-letters0"],
    "CNI_NETNS": [None, "", "run/netns/x", "/" + "x" * 1024],
    "CNI_ARGS": [
        None,
        "",
        "K8S_POD_NAMESPACE=demo",
        "K8S_POD_NAME=web",
        "K8S_POD_NAMESPACE=;K8S_POD_NAME=web",
        "K8S_POD_NAMESPACE=a/b;K8S_POD_NAME=web",
        'K8S_POD_NAMESPACE=a;K8S_POD_NAME="',
        "XK8S_POD_NAMESPACE=a;K8S_POD_NAME=web",
        f"K8S_POD_NAMESPACE={'a' * 64};K8S_POD_NAME=web",
        f"K8S_POD_NAMESPACE=a;K8S_POD_NAME={'a' * 254}",
        "K8S_POD_NAMESPACE=a;K8S_POD_NAME=web;K8S_POD_UID=a b",
    ],
}


@pytest.mark.parametrize(
    ("variable", "value"), [(name, value) for name, values in BAD_ENVIRONMENT.items() for value in values]
)
@pytest.mark.usefixtures("gate")
def test_invalid_environment_names_the_variable(plugin, keeper, variable, value):
    error = plugin.error("ADD", environment={variable: value})
    assert (error["code"], error["details"].split(":")[0]) == (4, variable)
    assert keeper.asked == []


@pytest.mark.usefixtures("gate")
def test_uid_may_be_missing(plugin, keeper):
    assert plugin("ADD", environment={"CNI_ARGS": POD.rpartition(";")[0]})[0] == 0
    assert keeper.asked[0][0].uid == ""


@pytest.mark.usefixtures("gate")
def test_odd_interface_name_arrives_whole(plugin, keeper):
    assert plugin("ADD", environment={"CNI_IFNAME": 'x"\\\x1b{äé'})[0] == 0
    assert keeper.asked[0][0].interfaces[0].name == 'x"\\\x1b{äé'


BAD_FIELDS = [
    ("socket", "gate.sock"),
    ("socket", "/" + "x" * 108),
    ("socket", ""),
    ("socket", 1),
    ("socket", "/a\0b"),
    ("atLimit", "Open"),
    ("atLimit", True),
    ("atLimit", ""),
    ("seconds", 0),
    ("seconds", 101),
    ("seconds", -1),
    ("seconds", 1.5),
    ("seconds", "10"),
    ("seconds", 10**30),
    ("network", 1),
    ("network", "a/b/c"),
    ("network", "/b"),
    ("network", "A"),
    ("name", None),
    ("name", 1),
]


@pytest.mark.parametrize(("name", "value"), BAD_FIELDS)
@pytest.mark.usefixtures("gate")
def test_invalid_configuration_names_the_field(plugin, keeper, name, value):
    error = plugin.error("ADD", **{name: value})
    assert (error["code"], error["details"].split(":")[0]) == (7, name)
    assert keeper.asked == []


@pytest.mark.parametrize("result", [None, b"null", b"[]", b'"{}"'])
@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
def test_prev_result_is_required(plugin, verb, result):
    error = plugin.error(verb, result=result)
    assert (error["code"], error["msg"]) == (7, "mnp-cnigate: prevResult is missing")


@pytest.mark.parametrize("given", [b"", b"null", b"[]", b"{", b'{"a":1,}', b'{"name":"a","name":"b"}', b'{"a":"\xff"}'])
def test_malformed_input_cannot_be_decoded(plugin, given):
    assert plugin.error("ADD", given=given)["code"] == 6


@pytest.mark.usefixtures("gate")
def test_prev_result_of_almost_the_limit_passes_and_more_is_refused(plugin):
    large = b'{"x":"' + b"a" * ((1 << 20) - 400) + b'"}'
    assert plugin("ADD", result=large) == (0, large + b"\n", "")
    assert plugin.error("ADD", result=large + b" " * 400)["code"] == 5


def test_removal_notifies_the_agent_and_waits_a_second_at_most(plugin):
    heard = []

    def talk(connection):
        while received := connection.recv(1 << 16):
            heard.append(received)

    began = time.monotonic()
    with agent(plugin.socket, talk):
        assert plugin("DEL", seconds=60) == (0, b"", "")
    assert time.monotonic() - began < 30
    assert b'"verb":"DEL","containerId":"ab12"' in b"".join(heard)
    assert b"prevResult" not in b"".join(heard)


@pytest.mark.parametrize("fields", [{"version": "9"}, {"seconds": "x"}, {"result": None}, {"given": b"{"}])
def test_removal_never_fails(plugin, fields):
    """After a refused ADD, runtimes repeat DEL with the same configuration until it succeeds."""
    given = {"environment": {"CNI_NETNS": None, "CNI_ARGS": None}, **fields}
    assert plugin("DEL", **given) == (0, b"", "")
    assert plugin.error("DEL", environment={"CNI_CONTAINERID": None})["code"] == 4


@pytest.mark.usefixtures("gate")
def test_closed_standard_output_is_an_error(plugin):
    reading, writing = socket.socketpair()
    reading.close()
    with writing:
        ended = subprocess.run(
            [plugin.path], input=plugin.config(), env=plugin.environment("ADD"), stdout=writing, check=False, timeout=20
        )
    assert ended.returncode == 1


@pytest.mark.usefixtures("gate")
def test_many_at_once(plugin, keeper):
    keeper.go.clear()
    with ThreadPoolExecutor(32) as pool:
        pods = [{"CNI_ARGS": f"K8S_POD_NAMESPACE=a;K8S_POD_NAME=p{number}"} for number in range(32)]
        calls = [pool.submit(plugin, "ADD", environment=pod) for pod in pods]
        deadline = time.monotonic() + 8
        while len(keeper.asked) < 32 and time.monotonic() < deadline:
            time.sleep(0.01)
        keeper.go.set()
        assert {call.result()[:2] for call in calls} == {(0, RESULT + b"\n")}
    assert {start.pod.name for start, _ in keeper.asked} == {f"p{n}" for n in range(32)}
