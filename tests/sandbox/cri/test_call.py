"""Calls beside a server of the library grpcio, and beside one that answers anything."""

import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest

from mnp_core.sandbox.cri.call import DEADLINE_EXCEEDED, NOT_FOUND, UNAVAILABLE, UNIMPLEMENTED, CallError, call

SECONDS = 20
STATUS = b"\0\x0bgrpc-status\x010"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s")


@pytest.fixture
def server(path):
    """Answers with as many bytes as the request says; fails if it says so."""

    def answer(request, context):
        if request.startswith(b"fail"):
            context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: “42 %”\n" * 3)
        if request == b"wait":
            time.sleep(1)
        return b"x" * int(request) if request.isdigit() else request

    handler = grpc.method_handlers_generic_handler("a.B", {"C": grpc.unary_unary_rpc_method_handler(answer)})
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    yield
    server.stop(None).wait()


@pytest.mark.parametrize("size", [0, 1, 16_384, 70_000, 3_000_000])
@pytest.mark.usefixtures("server")
def test_answers_of_any_size_come_whole(path, size):
    assert call(path, "/a.B/C", str(size).encode(), SECONDS) == b"x" * size


@pytest.mark.usefixtures("server")
def test_a_refusal_has_its_code_and_its_text(path):
    with pytest.raises(CallError, match="“42 %”") as caught:
        call(path, "/a.B/C", b"fail", SECONDS)
    assert caught.value.code == NOT_FOUND
    with pytest.raises(CallError) as caught:
        call(path, "/a.B/D", b"", SECONDS)
    assert caught.value.code == UNIMPLEMENTED


@pytest.mark.usefixtures("server")
def test_a_call_ends_at_its_limit(path):
    with pytest.raises(CallError) as caught:
        call(path, "/a.B/C", b"wait", 0.2)
    assert caught.value.code == DEADLINE_EXCEEDED


@pytest.mark.usefixtures("server")
def test_many_threads_call_at_once(path):
    with ThreadPoolExecutor(16) as threads:
        calls = [threads.submit(call, path, "/a.B/C", b"%d" % number, SECONDS) for number in range(200)]
        assert [len(each.result()) for each in calls] == list(range(200))


# --- a server that answers anything -------------------------------------------------------------------------------


def frame(kind, flags, payload, stream=1):
    return len(payload).to_bytes(3) + struct.pack("!BBI", kind, flags, stream) + payload


@contextmanager
def saying(path, answer):
    """A server that says this to whoever connects, and then nothing."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve():
            connected, _ = listener.accept()
            with connected:
                connected.sendall(answer)
                connected.shutdown(socket.SHUT_WR)
                while connected.recv(65536):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(SECONDS)


MESSAGE = struct.pack("!BI", 0, 3) + b"abc"
HEADERS = frame(1, 4, b"\x88")
TRAILERS = frame(1, 5, STATUS)


@pytest.mark.parametrize(
    "answer",
    [
        frame(4, 0, b"", 0) + HEADERS + frame(0, 0, MESSAGE) + TRAILERS,
        frame(6, 0, b"12345678", 0) + HEADERS + frame(0, 0, MESSAGE[:4]) + frame(0, 0, MESSAGE[4:]) + TRAILERS,
        HEADERS + frame(0, 8, b"\x02" + MESSAGE + b"\0\0") + frame(1, 5 | 8 | 32, b"\x01" + b"\0" * 5 + STATUS + b"\0"),
        frame(99, 0, b"of the future", 0) + HEADERS + frame(0, 0, MESSAGE) + TRAILERS,
    ],
)
def test_frames_of_other_servers_are_read(path, answer):
    with saying(path, answer):
        assert call(path, "/a.B/C", b"", SECONDS) == b"abc"


def test_headers_may_take_several_frames(path):
    """CONTINUATION, RFC 9113 section 6.10; the end of the stream is said by the first one."""
    trailers = frame(1, 1, STATUS[:5]) + frame(9, 0, STATUS[5:7]) + frame(9, 4, STATUS[7:])
    with saying(path, HEADERS + frame(0, 0, MESSAGE) + trailers):
        assert call(path, "/a.B/C", b"", SECONDS) == b"abc"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10,
        HEADERS + frame(0, 1, MESSAGE),  # no status
        HEADERS + TRAILERS,  # no message
        HEADERS + frame(0, 0, b"\x01" + MESSAGE[1:]) + TRAILERS,  # compressed
        HEADERS + frame(0, 0, MESSAGE * 2) + TRAILERS,
        HEADERS + frame(0, 8, b"\xff") + TRAILERS,
        HEADERS + frame(1, 5, b"\xbe"),
        frame(3, 0, b"\0\0\0\x07"),
        HEADERS + frame(0, 0, MESSAGE) + frame(1, 4, STATUS) + frame(0, 1, b""),  # trailers that are not the end
        frame(7, 0, struct.pack("!II", 0, 0), 0) + HEADERS,
        HEADERS + frame(7, 0, struct.pack("!II", 1, 0), 0),  # it ends; the next try asks it anew
        frame(7, 0, b"", 0),
        HEADERS + frame(0, 0, MESSAGE),  # and the connection ends
        frame(0, 0, b"x" * 16385),
    ],
)
def test_anything_else_is_no_answer(path, answer):
    with saying(path, answer), pytest.raises(CallError) as caught:
        call(path, "/a.B/C", b"", SECONDS)
    assert caught.value.code == UNAVAILABLE


@pytest.mark.usefixtures("server")
def test_an_answer_beyond_the_limit_is_cut(path):
    with pytest.raises(CallError, match="more than"):
        call(path, "/a.B/C", b"%d" % (17 << 20), SECONDS)


def test_a_request_that_no_frame_holds_is_refused(path):
    with pytest.raises(CallError, match="too large"):
        call(path, "/a.B/C", b"x" * 16384, SECONDS)
