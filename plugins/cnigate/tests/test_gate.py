"""The agent's end of the socket."""

import json
import os
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from mnp_cnigate import CniGate, make_gate
from mnp_core.api import Admission, Decision
from mnp_core.errors import InputError
from mnp_core.model import ObjectName
from mnp_core.plugins import load_plugins
from plugins.cnigate.tests.calls import Keeper

ADD = {
    "verb": "ADD",
    "milliseconds": 5000,
    "netns": "/run/netns/x",
    "interface": "net1",
    "podNamespace": "demo",
    "podName": "web",
    "prevResult": {},
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "gate.sock"


@pytest.fixture
def gate(path, keeper):
    gate = CniGate(path)
    gate.open(keeper)
    yield gate
    gate.close()


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(os.fspath(path))
    return client


def frame(body):
    return b"mnp-cnigate/1 %d\n" % len(body) + body


def answer(client):
    with client, client.makefile("rb") as file:
        return file.readline().decode()


def ask(path, data):
    client = connect(path)
    with suppress(BrokenPipeError, ConnectionResetError):  # it may answer without having read
        client.sendall(data)
    return answer(client)


def add(path, **changes):
    return ask(path, frame(json.dumps({**ADD, **changes}).encode()))


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_plugin_registers_the_gate(path):
    gate = load_plugins().gate("cnigate", {"cnigate-socket": str(path)})
    assert isinstance(gate, CniGate)


@pytest.mark.usefixtures("gate")
def test_socket_and_its_folder_are_roots_alone(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["gate.sock"]


@pytest.mark.usefixtures("gate")
def test_answer_leaves_time_for_its_way_back(path, keeper):
    assert add(path) == "mnp-cnigate/1 admitted\n"
    [(_, seconds)] = keeper.asked
    assert seconds == pytest.approx(4.5)


@pytest.mark.root
@pytest.mark.usefixtures("gate")
def test_other_users_are_refused(path, keeper):
    """Even with a descriptor that leads around the file's mode."""
    path.chmod(0o666)
    for folder in (path.parent, *path.parent.parents):
        if folder.stat().st_mode & 0o011 != 0o011:
            folder.chmod(0o711)
        if folder.name.startswith("pytest-of"):
            break
    script = (
        "import os, socket, sys\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
        "sys.stdout.write(s.makefile().read())"
    )
    ended = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert ended.stdout == "mnp-cnigate/1 refused only root may ask\n"
    assert keeper.asked == []


MALFORMED = {
    "nothing": b"\n",
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "other version": b"mnp-cnigate/2 2\n{}",
    "no size": b"mnp-cnigate/1 \n",
    "negative": b"mnp-cnigate/1 -1\n",
    "arabic digits": "mnp-cnigate/1 \u0661\n".encode(),
    "huge": b"mnp-cnigate/1 99999999\n",
    "endless head": b"m" * 5000,
    "too long": b"mnp-cnigate/1 1\n{}",
    "no JSON": frame(b"{"),
    "no object": frame(b"[]"),
    "deep": frame(b"[" * 100_000),
    "digits": frame(b"1" * 10_000),
    "UTF-16": frame('{"verb":"STATUS"}'.encode("utf-16")),
    "no UTF-8": frame(b'{"verb":"\xff"}'),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.usefixtures("gate")
def test_malformed_request_is_answered_and_harms_no_other(path, keeper, data):
    assert ask(path, data).startswith("mnp-cnigate/1 invalid ")
    assert keeper.asked == []
    assert add(path) == "mnp-cnigate/1 admitted\n"


@pytest.mark.usefixtures("gate")
def test_request_that_does_not_end_is_given_up(path):
    """Each byte is progress; all of them together are too slow."""
    with connect(path) as client:
        began = time.monotonic()
        client.sendall(b"mnp-cnigate/1 1000\n")
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(client.recv, 100)
            while not reading.done() and time.monotonic() < began + 20:
                client.sendall(b" ")
                time.sleep(0.1)
            assert reading.result() == b"mnp-cnigate/1 invalid the request does not end\n"


@pytest.mark.usefixtures("gate")
def test_silent_connections_delay_no_other(path):
    clients = [connect(path) for _ in range(20)]
    assert add(path) == "mnp-cnigate/1 admitted\n"
    for client in clients:
        client.close()


@pytest.mark.usefixtures("gate")
def test_more_calls_than_any_kubelet_makes_are_refused(path, keeper, monkeypatch):
    monkeypatch.setattr("mnp_cnigate.gate._MOST_CALLS", 3)
    keeper.go.clear()
    with ThreadPoolExecutor(3) as pool:
        held = [pool.submit(add, path) for _ in range(3)]
        until(lambda: len(keeper.asked) == 3)
        assert "refused too many calls" in add(path)
        keeper.go.set()
        assert {each.result() for each in held} == {"mnp-cnigate/1 admitted\n"}
    until(lambda: add(path) == "mnp-cnigate/1 admitted\n")


@pytest.mark.usefixtures("gate")
def test_plugin_that_goes_while_it_waits_harms_no_other(path, keeper):
    keeper.go.clear()
    with connect(path) as client:
        client.sendall(frame(json.dumps(ADD).encode()))
        until(lambda: keeper.asked)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    keeper.go.set()
    assert add(path) == "mnp-cnigate/1 admitted\n"


def test_end_of_the_agent_refuses_waiting_starts(path):
    keeper = Keeper()
    gate = CniGate(path)
    gate.open(keeper)
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(add, path) for _ in range(2)]
        until(lambda: len(keeper.asked) == 2)
        gate.close()
        assert {each.result() for each in held} == {
            "mnp-cnigate/1 refused the node agent ends; the kubelet tries again\n"
        }
    keeper.go.set()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "cnigate"])
    assert not path.exists()
    gate.close()


@pytest.mark.usefixtures("gate")
def test_failing_keeper_refuses(path, keeper, monkeypatch):
    def admit(_start, *, seconds):
        raise ZeroDivisionError(seconds)

    monkeypatch.setattr(Keeper, "admit", lambda _, start, *, seconds: admit(start, seconds=seconds))
    assert add(path).startswith("mnp-cnigate/1 refused the agent failed: ZeroDivisionError")
    assert keeper.asked == []


@pytest.mark.usefixtures("gate")
def test_reason_stays_one_short_line(path, keeper):
    reason = "a\nmnp-cnigate/1 admitted\n\x1b\ud800" + "x" * 10_000
    keeper.decision = Decision(admission=Admission.REFUSED, reason=reason)
    line = add(path)
    assert line.startswith(r"mnp-cnigate/1 refused a mnp-cnigate/1 admitted  \ud800xxx")
    assert (line.count("\n"), len(line) < 1100) == (1, True)


def test_socket_of_a_dead_agent_is_replaced(path, keeper):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    gate = CniGate(path)
    gate.open(keeper)
    assert add(path) == "mnp-cnigate/1 admitted\n"
    gate.close()


@pytest.mark.usefixtures("gate")
def test_living_agent_is_named(path, keeper):
    second = CniGate(path)
    second.open(keeper)
    assert f"setting cnigate-socket: {path}: process {os.getpid()} listens there" in second.problem
    assert add(path) == "mnp-cnigate/1 admitted\n"
    second.close()
    assert path.is_socket()


def test_living_agent_with_a_full_backlog_is_seen(path, keeper):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(os.fspath(path))
        busy.listen(0)
        gate = CniGate(path)
        with connect(path):
            gate.open(keeper)
            assert "another process listens there" in gate.problem
        gate.close()


def test_socket_of_a_newer_agent_stays_and_is_taken_over_when_it_ends(path, keeper):
    old, new = CniGate(path), CniGate(path)
    old.open(keeper)
    path.rename(path.with_name("elsewhere"))  # the newer one comes before the older one can look
    new.open(keeper)
    if not old.problem:  # it has looked before
        old, new = new, old
    until(lambda: "listens there" in old.problem)
    assert add(path) == "mnp-cnigate/1 admitted\n"
    new.close()
    until(lambda: not old.problem)
    assert add(path) == "mnp-cnigate/1 admitted\n"
    old.close()
    assert (old.problem, new.problem) == ("the gate is closed", "the gate is closed")


@pytest.mark.usefixtures("keeper")
def test_removed_socket_is_made_again(path, gate):
    path.unlink()
    path.parent.rmdir()
    assert gate.problem == f"{path} is not there any more: it is made again"
    until(lambda: not gate.problem)
    assert add(path) == "mnp-cnigate/1 admitted\n"


@pytest.mark.usefixtures("gate")
def test_pod_ends_with_its_last_attachment(path, keeper):
    """One may be detached while the pod runs."""
    for interface in ("net1", "net2"):
        add(path, containerId="a", interface=interface)
    add(path, containerId="b")
    add(path, verb="DEL", containerId="a", interface="net1")
    add(path, verb="DEL", containerId="a", interface="net1")
    add(path, verb="DEL", containerId="c", interface="net1")
    assert keeper.ended == []
    add(path, verb="DEL", containerId="a", interface="net2", netns="")
    assert keeper.ended == [(ObjectName("demo", "web"), "", "/run/netns/x")]
    add(path, verb="DEL", containerId="a", interface="net2")
    assert len(keeper.ended) == 1


@pytest.mark.usefixtures("gate")
def test_sandboxes_whose_end_never_comes_are_bounded(path, keeper, monkeypatch):
    monkeypatch.setattr("mnp_cnigate.sandboxes._MOST", 2)
    for container in "abc":
        add(path, containerId=container)
    for container in "abc":
        add(path, verb="DEL", containerId=container)
    assert len(keeper.ended) == 2


def open_to_others(path):
    path.parent.mkdir()
    path.parent.chmod(0o777)


def a_file(path):
    path.parent.mkdir()
    path.write_text("")


@pytest.mark.parametrize(
    ("prepare", "message"), [(open_to_others, "others can write to"), (a_file, "is there and no socket")]
)
def test_unsafe_place_is_refused(path, keeper, prepare, message):
    prepare(path)
    with pytest.raises(InputError, match=message):
        CniGate(path).open(keeper)
    assert not path.is_socket()


@pytest.mark.parametrize("setting", ["gate.sock", "/" + "x" * 200, "/dev/null/gate.sock", "/proc/gate.sock"])
def test_useless_setting_is_an_input_error(keeper, setting):
    with pytest.raises(InputError, match="setting cnigate-socket"):
        make_gate({"cnigate-socket": setting}).open(keeper)
