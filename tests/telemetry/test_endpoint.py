"""Requests over loopback, those of clients that mean no good too."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest

from mnp_core.errors import InputError, UnsupportedError
from mnp_core.telemetry.endpoint import Endpoint
from mnp_core.telemetry.health import Health, Unready
from mnp_core.telemetry.httpserver import ListenAddress, parse_listen_address
from mnp_core.telemetry.metrics import Metrics
from tests.telemetry.timing import Clock

DEADLINE = 0.5


@pytest.fixture(scope="module")
def clock():
    return Clock()


@pytest.fixture(scope="module")
def health(clock):
    return Health(clock=clock)


@pytest.fixture(scope="module")
def metrics():
    return Metrics()


@pytest.fixture(scope="module")
def endpoint(health, metrics):
    with Endpoint(ListenAddress("127.0.0.1", 0), health=health, metrics=metrics, deadline=DEADLINE) as serving:
        yield serving


def ask(endpoint, path, method="GET", headers=None):
    connection = HTTPConnection(endpoint.address.host, endpoint.address.port, timeout=10)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode(), dict(response.getheaders())
    finally:
        connection.close()


def connect(endpoint):
    return socket.create_connection((endpoint.address.host, endpoint.address.port), timeout=10)


def drain(connection):
    """Everything that comes until the other side hangs up; a reset is one way to hang up."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionError:
        pass
    return received


def trickle(connection, text, pause):
    for letter in text:
        connection.sendall(bytes([letter]))
        time.sleep(pause)


def test_probes_answer_with_the_state_of_the_node(endpoint, health, clock):
    assert ask(endpoint, "/healthz")[:2] == (200, "ok\n")
    health.not_ready(Unready.STARTING, "it has just been started")
    assert ask(endpoint, "/readyz")[0] == 503
    health.not_ready(Unready.WAITING_FOR_API_SERVER, "pods have not been listed yet")
    assert ask(endpoint, "/readyz")[:2] == (503, "WaitingForApiServer: pods have not been listed yet\n")
    health.ready()
    assert ask(endpoint, "/readyz")[:2] == (200, "ok\n")
    clock.sleep(1000)
    assert ask(endpoint, "/healthz")[0] == 503
    health.beat()
    assert ask(endpoint, "/healthz?verbose")[0] == 200


def test_metrics_equal_the_registry(endpoint, metrics):
    metrics.enforced(0.1)
    status, body, headers = ask(endpoint, "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "mnp_event_to_enforced_seconds_count 1.0\n" in body


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz/../readyz", "/favicon.ico"])
def test_other_paths_are_not_found(endpoint, path):
    assert ask(endpoint, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_not_allowed(endpoint, method):
    status, _, headers = ask(endpoint, "/metrics", method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_head_has_no_body(endpoint):
    status, body, headers = ask(endpoint, "/healthz", "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, "", "3")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/nothing"])
def test_answers_do_not_name_the_server(endpoint, path):
    _, body, headers = ask(endpoint, path)
    assert "Server" not in headers
    assert "python/" not in f"{headers}{body}".lower()


def test_words_of_a_bad_request_are_not_said_back(endpoint):
    with connect(endpoint) as connection:
        connection.sendall(b"GET /<script> HTTP/9.9\r\n\r\n")
        answer = drain(connection)
    assert answer.startswith(b"HTTP/1.0 505 ")
    assert b"script" not in answer


def test_hostile_sentence_stays_in_the_body(endpoint, health):
    health.not_ready(Unready.FIRST_SYNC, "x\r\nSet-Cookie: a=b\udcff")
    status, _, headers = ask(endpoint, "/readyz")
    assert status == 503
    assert "Set-Cookie" not in headers


def test_a_connection_is_never_kept(endpoint):
    with connect(endpoint) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nConnection: keep-alive\r\n\r\n" * 2)
        assert drain(connection).count(b"HTTP/1.0 200") == 1


def test_client_that_says_nothing_is_hung_up_on(endpoint):
    with connect(endpoint) as connection:
        before = time.monotonic()
        assert drain(connection) == b""
        assert DEADLINE * 0.9 < time.monotonic() - before < 5


def test_client_that_trickles_is_hung_up_on_at_the_same_time(endpoint):
    with connect(endpoint) as connection:
        before = time.monotonic()
        with pytest.raises(ConnectionError):
            trickle(connection, b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 10_000, pause=0.05)
        assert time.monotonic() - before < 5


def test_client_that_sends_without_end_is_hung_up_on(endpoint):
    with connect(endpoint) as connection, pytest.raises(ConnectionError):
        connection.sendall(b"X: " + b"y" * 100_000_000)


def test_probes_are_answered_at_once_however_many_clients_are_slow(health, metrics):
    """48 of them made 58 of 59 probes fail."""
    with Endpoint(ListenAddress("127.0.0.1", 0), health=health, metrics=metrics) as endpoint, ExitStack() as slow:
        for _ in range(60):
            for _ in range(3):
                client = slow.enter_context(connect(endpoint))
                client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
            before = time.monotonic()
            assert answered(endpoint)
            assert time.monotonic() - before < 1


def answered(endpoint):
    try:
        return ask(endpoint, "/healthz")[0] == 200
    except (OSError, ValueError):
        return False


def test_a_hundred_requests_by_eight_clients_are_answered(endpoint):
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: ask(endpoint, "/metrics")[0], range(100)))
    assert answers == [200] * 100


def test_closing_does_not_wait_for_a_client_that_has_not_asked(health, metrics):
    serving = Endpoint(ListenAddress("127.0.0.1", 0), health=health, metrics=metrics, deadline=60)
    with connect(serving) as connection:
        assert ask(serving, "/healthz")[0] == 200
        before = time.monotonic()
        serving.close()
        assert time.monotonic() - before < 10
        assert drain(connection) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(serving)


def test_ipv6_is_listened_on(health, metrics):
    with Endpoint(ListenAddress("::1", 0), health=health, metrics=metrics) as serving:
        assert str(serving.address).startswith("[::1]:")
        assert ask(serving, "/healthz")[0] == 200


def test_every_address_means_both_families(health, metrics):
    with Endpoint(parse_listen_address(":0"), health=health, metrics=metrics) as serving:
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, serving.address.port), timeout=10) as connection:
                connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                assert drain(connection).endswith(b"ok\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_port_that_is_taken_is_an_error_that_names_the_setting(health, metrics, host):
    with Endpoint(ListenAddress(host, 0), health=health, metrics=metrics) as first:
        text = rf"^listen: cannot listen on {str(first.address).translate({91: '.', 93: '.'})}: Address already in use"
        with pytest.raises(UnsupportedError, match=text):
            Endpoint(first.address, health=health, metrics=metrics)


def test_address_of_another_machine_is_an_error_that_names_the_setting(health, metrics):
    with pytest.raises(UnsupportedError, match=r"^listen: cannot listen on 192\.0\.2\.1:0: Cannot assign"):
        Endpoint(ListenAddress("192.0.2.1", 0), health=health, metrics=metrics)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9469", ListenAddress("127.0.0.1", 9469)),
        ("[::1]:0", ListenAddress("::1", 0)),
        (":9469", ListenAddress("", 9469)),
        ("0.0.0.0:65535", ListenAddress("0.0.0.0", 65535)),  # noqa: S104 - the notation under test
    ],
)
def test_address_is_read(text, address):
    assert parse_listen_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9469",
        "127.0.0.1",
        "::1",
        "::1:9469",
        "[127.0.0.1]:1",
        "[::1]",
        "localhost:9469",
        ":65536",
        ":-1",
        ":٣",
        "[]:1",
    ],
)
def test_invalid_listen_address_is_an_error_with_examples(text):
    with pytest.raises(InputError, match=r"^listen: .*127\.0\.0\.1:9469"):
        parse_listen_address(text)
