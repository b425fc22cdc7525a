"""The agent's socket: its place, its server and its client, against hostile ends."""

import os
import socket
import stat
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from mnp_core.errors import InputError, UnsupportedError
from mnp_core.node.status.client import Agent, BrokenAnswerError
from mnp_core.node.status.place import Place
from mnp_core.node.status.protocol import PROTOCOL, RefusedError, RequestKind, encode
from mnp_core.node.status.server import StatusServer

ME = frozenset({os.geteuid()})
HEAD = encode({"protocol": PROTOCOL, "version": "1", "node": "n"})


def numbers(arguments):
    if "bad" in arguments:
        raise InputError("no good", field="bad")
    yield from ({"number": number} for number in range(arguments.get("count", 3)))


def fails(_arguments):
    yield {"number": 1}
    raise OSError("a disk")


def follow(_arguments):
    while True:
        yield None
        time.sleep(0.01)


def floods(_arguments):
    while True:
        yield {"text": "x" * 100_000}


KINDS = {
    "numbers": RequestKind(answer=numbers),
    "fails": RequestKind(answer=fails),
    "follow": RequestKind(answer=follow, endless=True),
    "floods": RequestKind(answer=floods),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent" / "agent.sock"


@pytest.fixture
def serving(path):
    with StatusServer(path, KINDS, node="n", users=ME, request_seconds=0.5, send_seconds=0.3, check_seconds=0.1):
        until(partial(listens, path))
        yield Agent(path, seconds=5, users=ME)


def until(true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def listens(path):
    """A socket is there before it listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def raw(path, data=b""):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(path))
    connection.sendall(data)
    return connection


def all_of(connection):
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


# --- answers --------------------------------------------------------------------------------------------------------


def test_an_answer_is_all_its_items(serving):
    assert list(serving.ask("numbers", {"count": 2})) == [{"number": 0}, {"number": 1}]


@pytest.mark.parametrize(
    ("request_name", "arguments", "words"),
    [
        ("nothing", {}, "knows no request 'nothing': it knows fails, floods, follow, numbers"),
        ("numbers", {"bad": 1}, "Input.*bad: no good"),
        ("fails", {}, "Defect.*OSError: a disk"),
    ],
)
def test_refusals_have_their_reason(serving, request_name, arguments, words):
    with pytest.raises(RefusedError, match=words):
        list(serving.ask(request_name, arguments))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"\n", b"no line of JSON"),
        (b"[1]\n", b"no line of JSON"),
        (b"[" * 50_000 + b"\n", b"no line of JSON"),
        (b"\xff\xfe\n", b"no line of JSON"),
        (b'{"protocol": 2, "request": "numbers"}\n', b"OtherProtocol"),
        (b'{"protocol": true, "request": "numbers"}\n', b"OtherProtocol"),
        (b'{"protocol": 1, "request": 7}\n', b"a request has a name"),
        (b'{"protocol": 1, "request": "numbers", "arguments": []}\n', b"a request has a name"),
        (b"x" * 70_000, b"too long"),
        (b"{", b"no request came within"),
    ],
)
def test_wrong_requests_are_refused_and_the_next_client_is_served(serving, line, words):
    assert words in all_of(raw(serving.path, line))
    assert len(list(serving.ask("numbers"))) == 3


def test_other_users_are_refused(path):
    other = frozenset({os.geteuid() + 1})
    with StatusServer(path, KINDS, node="n", users=other):
        until(partial(listens, path))
        with pytest.raises(RefusedError, match=r"Forbidden.*only root"):
            list(Agent(path, users=ME).ask("numbers"))


def test_slow_clients_and_those_that_leave_hold_up_nobody(serving):
    """One that sends nothing, one that never reads a flood, one that leaves in the midst of it."""
    silent, deaf, left = raw(serving.path), *(raw(serving.path, request("floods")) for _ in range(2))
    left.close()
    began = time.monotonic()
    assert len(list(serving.ask("numbers"))) == 3
    assert time.monotonic() - began < 2
    until(lambda: threads() == 0)
    silent.close()
    deaf.close()


def request(name):
    return encode({"protocol": PROTOCOL, "request": name})


def threads():
    return sum(thread.name == "agent socket client" for thread in threading.enumerate())


def test_followers_leave_places_for_questions(serving):
    followers = [raw(serving.path, request("follow")) for _ in range(8)]
    for each in followers:  # the head comes before the request is read, the next line after
        found = b""
        while found.count(b"\n") < 2:
            found += each.recv(1024)
    with pytest.raises(RefusedError, match="Busy"):
        next(serving.ask("follow"))
    assert len(list(serving.ask("numbers"))) == 3
    for each in followers:
        each.close()
    until(lambda: threads() == 0)


def test_more_clients_than_places_are_told(serving):
    crowd = [raw(serving.path) for _ in range(16)]
    until(lambda: threads() == 16)
    with pytest.raises(RefusedError, match="Busy"):
        list(serving.ask("numbers"))
    for each in crowd:
        each.close()


def test_closing_ends_followers_soon(path):
    server = StatusServer(path, KINDS, node="n", users=ME)
    until(partial(listens, path))
    follower = raw(path, request("follow"))
    assert follower.recv(8)
    began = time.monotonic()
    server.close()
    all_of(follower)
    assert time.monotonic() - began < 2
    assert not path.exists()


# --- its place ------------------------------------------------------------------------------------------------------


def test_socket_and_directory_are_ones_own(path):
    with Place(path):
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.lstat().st_mode) == 0o700
    assert not path.exists()


def test_a_stale_socket_is_replaced_and_a_living_one_is_not(path):
    path.parent.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with Place(path) as place:
        with pytest.raises(UnsupportedError, match="another agent has the socket"):
            Place(path)
        assert place.is_there


def test_no_other_file_is_replaced(path):
    path.parent.mkdir(0o700)
    path.write_text("precious")
    with pytest.raises(UnsupportedError, match="is there and no socket"):
        Place(path)
    assert path.read_text() == "precious"


def test_symbolic_links_are_not_followed(tmp_path):
    (tmp_path / "real").mkdir(0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UnsupportedError, match=r"link cannot be used.*real directory"):
        Place(tmp_path / "link" / "agent.sock")
    (tmp_path / "real" / "agent.sock.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(UnsupportedError, match=r"lock cannot be opened"):
        Place(tmp_path / "real" / "agent.sock")
    assert not (tmp_path / "victim").exists()


def test_directories_of_others_are_refused_and_an_empty_volume_is_taken(tmp_path):
    for mode, content in ((0o777, "file"), (0o1777, None), (0o770, "file")):
        folder = tmp_path / f"{mode:o}"
        folder.mkdir()
        folder.chmod(mode)
        if content:
            (folder / content).touch()
        with pytest.raises(UnsupportedError, match="others may write to"):
            Place(folder / "agent.sock")
        assert stat.S_IMODE(folder.stat().st_mode) == mode
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    with Place(volume / "agent.sock"):
        assert stat.S_IMODE(volume.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(path):
    path.parent.mkdir(0o700)
    os.chown(path.parent, 1, 1)
    with pytest.raises(UnsupportedError, match="belongs to user 1"):
        Place(path)


@pytest.mark.parametrize("text", ["agent.sock", "/run/../run/x/agent.sock"])
def test_paths_are_absolute(text):
    with pytest.raises(UnsupportedError, match="absolute and without"):
        Place(Path(text))


def test_a_server_comes_when_its_place_is_free_and_comes_back_when_its_socket_is_removed(path):
    with Place(path) as other, StatusServer(path, KINDS, node="n", users=ME, check_seconds=0.05):
        other.close()
        until(partial(listens, path))
        before = path.lstat().st_ino
        until(lambda: answers(path))
        path.unlink()
        until(lambda: path.is_socket() and answers(path))
        assert path.lstat().st_ino != before or path.is_socket()


def answers(path):
    try:
        return len(list(Agent(path, users=ME).ask("numbers"))) == 3
    except (UnsupportedError, BrokenAnswerError):
        return False


# --- the client -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"", BrokenAnswerError, "broken off"),
        (HEAD, BrokenAnswerError, "broken off"),
        (HEAD + encode({"item": {}}), BrokenAnswerError, "broken off"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", BrokenAnswerError, "no JSON"),
        (b"{}\n", BrokenAnswerError, "begins differently"),
        (b"\x00" * 100 + b"\n", BrokenAnswerError, "no JSON"),
        (encode({"protocol": 2, "version": "9\x1b[31m"}), RefusedError, r"version 9 \[31m with protocol 2"),
        (HEAD + encode({"error": 1}), BrokenAnswerError, "does not say why"),
        (HEAD + encode({"error": {"reason": "New", "message": "m"}}), RefusedError, r"\(New\): m"),
        (HEAD + encode({"item": 1}), BrokenAnswerError, "something else"),
    ],
)
def test_foreign_answers_are_errors(tmp_path, answer, error, words):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve():
            client, _ = listener.accept()
            with client:
                client.recv(1000)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(error, match=words):
            list(Agent(path, seconds=5, users=ME).ask("numbers"))
        thread.join()


def test_a_silent_socket_and_one_of_another_user_are_errors(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(BrokenAnswerError, match=r"no answer of the agent for 0\.1 seconds"):
            list(Agent(path, seconds=0.1, users=ME).ask("numbers"))
        with pytest.raises(UnsupportedError, match="nothing of it is believed"):
            list(Agent(path, users=frozenset({os.geteuid() + 1})).ask("numbers"))


@pytest.mark.parametrize(
    ("name", "words"), [("none", "no such socket"), ("file", "nobody listens"), ("x" * 200, "AF_UNIX path too long")]
)
def test_no_agent_is_an_error_with_the_remedy(tmp_path, name, words):
    (tmp_path / "file").touch()
    with pytest.raises(UnsupportedError, match=words):
        list(Agent(tmp_path / name).ask("numbers"))
