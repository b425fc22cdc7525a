"""Servers with and without TLS, and credentials for them."""

import ssl

import pytest
import trustme

from mnp_core.testing.apiserver import FakeApiServer


@pytest.fixture
def server():
    with FakeApiServer() as running:
        yield running


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest.fixture
def context(authority):
    """The server's side of TLS."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "kube.example").configure_cert(made)
    return made


@pytest.fixture
def tls_server(context):
    with FakeApiServer(context) as running:
        yield running


@pytest.fixture
def files(authority, tmp_path):
    """CA and client certificate as files."""
    client = authority.issue_cert("agent@example.com")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.crt")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    return tmp_path
