"""Requests and answers over real HTTP."""

import gzip
import json
import socket
import threading
import time
import tracemalloc
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mnp_core.errors import ApiError, ApiUnreachableError
from mnp_core.kubeapi import MERGE_PATCH
from mnp_core.kubeapi.connection import HttpApiServer, connect
from mnp_core.kubeapi.credentials import Access, Anonymous
from mnp_core.kubeapi.server import MAX_ANSWER_BYTES, TooLargeError
from mnp_core.testing.apiserver import Answer, Cut, Fault, Garbage, Hang, Slow


@pytest.fixture
def api(server):
    with closing(connect(master=server.url, stream_timeout=1.0)) as made:
        yield made


def test_get_gives_bytes_and_encodes_the_query(server, api):
    server.put("pods", {"metadata": {"name": "a", "namespace": "b"}})
    found = json.loads(api.get("/api/v1/pods", {"fieldSelector": "status.phase!=Failed,status.phase!=X"}))
    assert [item["metadata"]["name"] for item in found["items"]] == ["a"]
    assert server.requests == ["GET /api/v1/pods?fieldSelector=status.phase%21%3DFailed%2Cstatus.phase%21%3DX"]


def test_post_and_patch_send_json(server, api):
    assert json.loads(api.post("/api/v1/namespaces/a/events", {"reason": "Möglich"})) == {"reason": "Möglich"}
    api.patch("/api/v1/namespaces/a/events/e", {"count": 2}, MERGE_PATCH)
    assert server.bodies == [{"reason": "Möglich"}, {"count": 2}]
    assert [request.split()[0] for request in server.requests] == ["POST", "PATCH"]


def test_a_refusal_carries_the_message_of_the_server(server, api):
    server.forbid("pods", "list")
    with pytest.raises(ApiError) as raised:
        api.get("/api/v1/pods")
    assert (raised.value.status, raised.value.reason, raised.value.retry_after) == (403, "Forbidden", None)
    assert "cannot list" in str(raised.value)


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"Retry-After": "7"}, b"busy", 7),
        ({"Retry-After": "1000000"}, b"busy", 300),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"busy", None),
        ({"Retry-After": "-3"}, b"busy", None),
        ({"Retry-After": "nan"}, b"busy", None),
        ({}, b'{"details": {"retryAfterSeconds": 2}}', 2),
        ({}, b'{"details": 5}', None),
        ({}, b"\xff" * 5000, None),
        ({}, b"[" * 100_000, None),
    ],
)
def test_retry_after_is_read_from_header_and_body(server, api, headers, body, expected):
    server.fail(Answer(status=429, headers=headers, body=body))
    with pytest.raises(ApiError) as raised:
        api.get("/api/v1/pods")
    assert raised.value.retry_after == expected
    assert len(str(raised.value)) < 1000


def test_redirects_are_not_followed_with_our_credentials(server, api):
    server.fail(Answer(status=307, headers={"Location": f"{server.url}/readyz"}))
    with pytest.raises(ApiError, match="307"):
        api.get("/api/v1/pods")
    assert len(server.requests) == 1


def test_nothing_is_tried_twice(server, api):
    server.fail(Fault(times=2))
    for _ in range(2):
        with pytest.raises(ApiUnreachableError):
            api.get("/api/v1/pods")
    assert len(server.requests) == 2


def test_a_refused_connection_names_the_address():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with closing(connect(master=url)) as api, pytest.raises(ApiUnreachableError, match=url):
            api.get("/readyz")


def test_many_threads_share_it(api):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(api.get("/readyz"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"ok"] * 20


# --- streams ----------------------------------------------------------------------------------------------------


def lines(api):
    with api.stream("/apis") as stream:
        return list(stream)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\n\nb\nc", [b"a", b"", b"b", b"c"]),
        (b"x" * 200_000 + b"\n" + b"y", [b"x" * 200_000, b"y"]),
    ],
    ids=["empty", "line end", "no line end", "one", "several", "long"],
)
def test_a_stream_gives_lines(server, api, body, expected):
    server.fail(Garbage(body=body))
    assert lines(api) == expected


def test_lines_are_put_together_from_the_smallest_pieces(server, api):
    body = api.get("/apis")
    server.fail(Slow(size=1, pause=0))
    assert lines(api) == [body]


def test_a_line_is_heard_when_its_first_byte_comes(server, api):
    server.put("pods", {"metadata": {"name": "a"}})
    server.fail(Slow(size=40, pause=0.02))
    before = time.monotonic()
    with api.stream("/api/v1/pods", {"watch": "true", "resourceVersion": "1"}) as stream:
        assert b"ADDED" in next(stream)
        assert before < stream.received_at < time.monotonic() - 0.04


def test_a_stream_that_breaks_off_raises(server, api):
    server.fail(Cut(after=3))
    with pytest.raises(ApiUnreachableError):
        lines(api)


def test_a_stream_without_bytes_times_out(api):
    with api.stream("/api/v1/pods", {"watch": "true"}) as stream, pytest.raises(ApiUnreachableError) as raised:
        next(stream)
    assert raised.value.timed_out


@pytest.mark.parametrize("fault", [None, Hang(seconds=30)], ids=["reading", "waiting for the head"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_close_ends_a_stream_that_waits(request, fault, tls):
    server = request.getfixturevalue("tls_server" if tls else "server")
    access = Access(server=server.url, verify=False)
    if fault:
        server.fail(fault)
    with closing(HttpApiServer(_Login(access), stream_timeout=30)) as api:
        stream = api.stream("/api/v1/pods", {"watch": "true"})
        threading.Timer(0.3, stream.close).start()
        started = time.monotonic()
        with pytest.raises(ApiUnreachableError, match="given up"), stream:
            next(stream)
        assert time.monotonic() - started < 1
        stream.close()
        assert api.get("/readyz") == b"ok"


def test_a_stream_that_was_closed_before_sends_no_answer_to_anybody(api):
    stream = api.stream("/api/v1/pods", {"watch": "true"})
    stream.close()
    with pytest.raises(ApiUnreachableError), stream:
        next(stream)


def test_close_after_the_end_harms_no_request_that_got_the_connection(server, api):
    stream = api.stream("/readyz")
    with stream:
        assert list(stream) == [b"ok"]
    server.fail(Slow(size=1, pause=0.1))
    threading.Timer(0.05, stream.close).start()
    assert api.get("/readyz") == b"ok"


class _Login(Anonymous):
    """Credentials as they are given."""

    def __init__(self, access):
        super().__init__(access.server)
        object.__setattr__(self, "_access", access)

    def access(self):
        return self._access


def test_an_answer_without_end_is_given_up():
    """An answer has a bound, whole or line by line: 664 MB were taken."""

    class Endless(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                for _ in range(3 * MAX_ANSWER_BYTES // 65536):
                    self.wfile.write(b"x" * 65536)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        api = connect(master=f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(TooLargeError, match="larger than 16 MiB"):
            api.get("/api/v1/pods")
        with pytest.raises(TooLargeError), api.stream("/api/v1/pods") as stream:
            next(stream)
        server.shutdown()


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity, GZIP", "br"])
def test_a_compressed_answer_is_not_inflated(server, api, coding, status):
    """None is asked for: 100 KB become 100 MB, and the bound of an answer counts afterwards."""
    bomb = gzip.compress(bytes(100 << 20), 1)
    server.fail(Answer(status=status, headers={"Content-Encoding": coding}, body=bomb, times=2))
    tracemalloc.start()
    with pytest.raises(ApiUnreachableError, match=r"compressed .*not asked for"):
        api.get("/api/v1/pods")
    with pytest.raises(ApiUnreachableError, match="compressed"), api.stream("/api/v1/pods") as stream:
        next(stream)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 << 20
    assert api.get("/readyz") == b"ok"


def _ask(api):
    with suppress(ApiUnreachableError):
        api.get("/readyz")


def test_no_compression_is_asked_for():
    """API servers compress large lists for clients that accept it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        api = connect(master=f"http://127.0.0.1:{listener.getsockname()[1]}")
        asking = threading.Thread(target=_ask, args=(api,))
        asking.start()
        connection, _ = listener.accept()
        with connection:
            head = connection.recv(65536).decode()
        asking.join()
        api.close()
    assert "Accept-Encoding: identity\r\n" in head
