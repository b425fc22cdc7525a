"""Reviews over HTTPS, those of clients that mean no good too."""

import json
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection

import pytest
from attrs import evolve

from mnp_core.admission.certificates import Certificates, renewed, serving_context
from mnp_core.admission.review import MOST_BYTES, PATH
from mnp_core.admission.webhook import Result, Webhook
from mnp_core.telemetry.httpserver import HttpServer, Limits, ListenAddress, Site
from tests.admission.conftest import Cluster, body, judge, namespace, network, pod, policy

LIMITS = Limits(deadline=1.0, body=MOST_BYTES, connections=16, of_one=12)


class Server:
    """The webhook, with a certificate that can be replaced."""

    def __init__(self, webhook):
        self.webhook = webhook
        self.renew(datetime.now(UTC))
        site = Site(forms={PATH: webhook.validate}, tls=lambda: self.context)
        self.http = HttpServer("webhook", ListenAddress("127.0.0.1", 0), site, LIMITS)

    def renew(self, now):
        self.certificates = renewed(Certificates(), ["127.0.0.1"], now)
        self.context = serving_context(self.certificates)

    def trusting(self):
        return ssl.create_default_context(cadata=self.certificates.authorities.decode())

    def ask(self, sent, path=PATH, method="POST", headers=None, context=None):
        context = context or self.trusting()
        connection = HTTPSConnection("127.0.0.1", self.http.address.port, context=context, timeout=10)
        try:
            connection.request(method, path, body=sent, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def review(self, sent):
        status, answer, _ = self.ask(sent)
        assert status == 200, answer
        return json.loads(answer)["response"]


@pytest.fixture(scope="module")
def serving():
    cluster = Cluster(namespace(), network(), pod())
    found = Server(Webhook(judge(), lambda: (cluster.view(), "")))
    with found.http:
        yield found


@pytest.fixture
def server(serving):
    serving.webhook.results.clear()
    return serving


def test_a_good_policy_is_allowed(server):
    answer = server.review(body(policy(ingress=[{"from": [{"podSelector": {}}]}])))
    assert answer == {"uid": "7", "allowed": True}
    assert server.webhook.results == {Result.ACCEPTED: 1}


def test_a_refusal_names_field_and_remedy(server):
    answer = server.review(body(policy("blue")))
    assert not answer["allowed"]
    assert answer["status"]["code"] == 422
    assert answer["status"]["message"] == (
        "metadata.annotations[k8s.v1.cni.cncf.io/policy-for]: there is no network demo/blue."
        " Name an existing NetworkAttachmentDefinition, as namespace/name if it is in another namespace"
        " (UnknownNetwork)"
    )


def test_findings_are_warnings(server):
    answer = server.review(body(policy(ingress=[{"ports": [{"port": "metrics"}]}])))
    assert answer["allowed"]
    (warning,) = answer["warnings"]
    assert warning.startswith("spec.ingress[0].ports: no pod concerned has a TCP port named 'metrics'")
    assert warning.endswith("(UnservedPort)")


def test_warnings_are_few_short_and_printable(server):
    peers = [{"podSelector": {"matchLabels": {"app": f"none-{number}"}}} for number in range(50)]
    answer = server.review(body(policy(ingress=[{"from": peers}])))
    assert len(answer["warnings"]) == 13
    assert answer["warnings"][-1] == "and 38 more, see kubectl mnp validate"
    wild = policy(policyTypes=["Ingress", "\x1b[31m\r\nWarning: " + "x" * 10_000])
    answer = server.review(body(wild))
    assert answer["status"]["message"].isprintable()
    assert len(answer["status"]["message"]) < 1000


def test_an_object_gets_the_names_of_the_request(server):
    bare = policy("red,blue")
    bare["metadata"] = {"annotations": bare["metadata"]["annotations"], "generateName": "web-"}
    assert "demo/blue" in server.review(body(bare, name=""))["status"]["message"]
    elsewhere = policy("red")
    elsewhere["metadata"]["namespace"] = "other"  # the request's counts
    assert server.review(body(elsewhere))["allowed"]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}',
        body(policy()).replace(b'k8s.io/v1"', b'k8s.io/v1beta1"', 1),
        b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "", "operation": ""}}',
        b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": 1, "operation": ""}}',
        b"\xff\xfe",
        b'{"apiVersion": "\xff"}',
        b"[" * 100_000,
        body(policy()) + b"junk",
        body("text"),
    ],
    ids=range(13),
)
def test_bodies_that_are_no_reviews_are_bad_requests(server, sent):
    status, answer, _ = server.ask(sent)
    assert status == 400
    assert b"Traceback" not in answer
    assert server.webhook.results == {Result.MALFORMED: 1}


@pytest.mark.parametrize(
    "wanted",
    [
        {"metadata": 7},
        {"metadata": {"name": ["x"], "annotations": 3}, "spec": {"ingress": {"a": 1}}},
        {**policy(), "spec": {"ingress": [[[[]]], None, 3, {"from": [None, 4, {"ipBlock": []}]}]}},
        {**policy(), "apiVersion": "k8s.cni.cncf.io/v99"},
        {**policy(), "metadata": {"namespace": "demo", "name": "x" * 100_000}},
        policy(",".join(f"n{number}" for number in range(10_000))),
        policy(ingress=[{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"] * 4000}}]}]),
        policy(ingress=[{"ports": [{"port": "x" * 300_000}]}]),
    ],
    ids=range(8),
)
def test_odd_objects_are_answered_within_the_time_of_a_webhook(server, wanted):
    before = time.monotonic()
    answer = server.review(body(wanted))
    assert isinstance(answer["allowed"], bool)
    assert time.monotonic() - before < 5
    assert Result.FAILED not in server.webhook.results


def test_the_largest_policy_within_its_budget_is_answered_in_time(server):
    blocks = [{"ipBlock": {"cidr": f"10.{number // 256}.{number % 256}.0/24"}} for number in range(5)]
    ports = [{"port": 1000 + number, "endPort": 2000 + number} for number in range(5)]
    largest = policy(ingress=[{"from": blocks, "ports": ports}] * 999)
    before = time.monotonic()
    server.review(body(largest))
    assert time.monotonic() - before < 5


def test_a_defect_lets_policies_in_and_says_so(cluster, lines):
    def broken(_):
        raise ZeroDivisionError

    webhook = Webhook(judge(lookup=broken), lambda: (cluster.view(), ""))
    for _ in range(3):
        answer = json.loads(webhook.validate(body(policy("blue"))).body)["response"]
        assert answer["allowed"]
        assert "it was not checked" in answer["warnings"][0]
    assert webhook.results == {Result.FAILED: 3}
    assert len([line for line in lines() if "let in" in line["msg"]]) == 1


def test_without_the_cluster_policies_are_let_in_and_that_is_said(lines):
    webhook = Webhook(judge(), lambda: (None, "pods: forbidden"))
    answer = json.loads(webhook.validate(body(policy("blue"))).body)["response"]
    assert answer["allowed"]
    assert "could not be read (pods: forbidden)" in answer["warnings"][0]
    assert webhook.results == {Result.UNSEEN: 1}
    (said,) = [line for line in lines() if line["level"] == "warning"]
    assert said["cause"] == "pods: forbidden"


def test_a_certificate_is_replaced_while_reviews_go_on(server):
    old = server.trusting()
    both = ssl.create_default_context(cadata=server.certificates.authorities.decode())
    sent = body(policy(ingress=[{"from": [{"podSelector": {}}]}]))
    with ThreadPoolExecutor(2) as clients:
        running = [clients.submit(server.ask, sent, context=both) for _ in range(10)]
        assert {each.result()[0] for each in running} == {200}
        server.renew(datetime.now(UTC) + timedelta(seconds=1))
        both.load_verify_locations(cadata=server.certificates.authorities.decode())
        running = [clients.submit(server.ask, sent, context=both) for _ in range(10)]
        assert {each.result()[0] for each in running} == {200}
    with pytest.raises(ssl.SSLCertVerificationError):
        server.ask(sent, context=old)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", PATH, {}, 405),
        ("PUT", PATH, {}, 405),
        ("POST", "/", {}, 404),
        ("GET", "/metrics", {}, 404),
        ("POST", PATH, {"Content-Length": "-1"}, 411),
        ("POST", PATH, {"Content-Length": "1e3"}, 411),
        ("POST", PATH, {"Content-Length": str(MOST_BYTES + 1)}, 413),
        ("POST", PATH, {"Content-Length": "9" * 5000}, 413),
        ("POST", PATH, {"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_requests_of_another_form_are_refused(server, method, path, headers, status):
    found, _, answered = server.ask(None, path, method, headers)
    assert found == status
    assert answered.get("Allow") == ("POST" if status == 405 else None)
    assert "Server" not in answered


def raw(server):
    return socket.create_connection(("127.0.0.1", server.http.address.port), timeout=10)


def test_clients_without_tls_and_slow_ones_are_hung_up_on(server):
    with raw(server) as plain, raw(server) as silent, raw(server) as slow:
        plain.sendall(b"POST /validate HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello")
        with server.trusting().wrap_socket(slow, server_hostname="127.0.0.1") as secure:
            secure.sendall(b"POST /validate HTTP/1.1\r\nContent-Length: 100\r\n\r\nhello")
            before = time.monotonic()
            assert drained(secure) == b""
            assert b"HTTP" not in drained(plain)
            assert drained(silent) == b""
            assert time.monotonic() - before < 5


def drained(connection):
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except OSError:
        pass
    return received


def test_reviews_are_answered_beside_any_number_of_slow_clients(server):
    """A client's place is its own address's; one that asks at once finds one among them."""
    sent = body(policy(ingress=[{"from": [{"podSelector": {}}]}]))
    with ExitStack() as slow:
        for _ in range(15):
            for _ in range(3):
                slow.enter_context(raw(server))
            assert server.ask(sent)[0] == 200


def test_a_client_that_is_gone_harms_nobody(server):
    for _ in range(20):
        client = raw(server)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset
        client.close()
    assert server.ask(body(policy()))[0] == 200


def test_without_a_certificate_nobody_is_served_and_everybody_later(server):
    def none():
        raise ConnectionError

    site = Site(forms={PATH: server.webhook.validate}, tls=none)
    with HttpServer("none", ListenAddress("127.0.0.1", 0), site, evolve(LIMITS, body=1)) as http:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", http.address.port), timeout=10) as client:
                assert drained(client) == b""
        assert http.thread.failures == 0
