"""Where the server is, and who we are: in a pod, and with kubeconfigs."""

import base64
import os
import ssl
import sys
from contextlib import closing

import pytest
import trustme
import yaml

from mnp_core.errors import ApiError, ApiUnreachableError, InputError, UnsupportedError
from mnp_core.kubeapi import credentials
from mnp_core.kubeapi.connection import HttpApiServer, connect
from mnp_core.kubeapi.credentials import InCluster
from mnp_core.kubeapi.proxy import proxy_for
from tests.kubeapi.tunnel import Tunnel

# --- in a pod ---------------------------------------------------------------------------------------------------


@pytest.fixture
def in_pod(files, tls_server, monkeypatch):
    (files / "token").write_text("first\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", tls_server.url.rpartition(":")[2])
    return InCluster.find(files)


def test_a_pod_uses_its_service_account_and_follows_its_token(in_pod, files, tls_server):
    tls_server.tokens = frozenset({"first"})
    with closing(HttpApiServer(in_pod)) as api:
        assert api.get("/readyz") == b"ok"
        (files / "token").write_text("second")  # as the kubelet does
        tls_server.tokens = frozenset({"second"})
        assert api.get("/readyz") == b"ok"
        (files / "token").unlink()
        with pytest.raises(ApiUnreachableError, match="token"):
            api.get("/readyz")


def test_a_server_with_another_ca_is_not_talked_to(in_pod, files, tls_server):
    trustme.CA().cert_pem.write_to_path(files / "ca.crt")
    with closing(HttpApiServer(in_pod)) as api, pytest.raises(ApiUnreachableError, match="certificate"):
        api.get("/readyz")
    assert tls_server.requests == []


def test_ipv6_addresses_are_written_as_urls_have_them(files, monkeypatch):
    (files / "token").write_text("t")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert InCluster.find(files).access().server == "https://[fd00::1]:443"


def test_outside_of_a_pod_a_kubeconfig_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InputError, match="--kubeconfig"):
        connect()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(InputError, match="automountServiceAccountToken"):
        InCluster.find(tmp_path)


# --- kubeconfigs ------------------------------------------------------------------------------------------------


@pytest.fixture
def kubeconfig(files, tls_server):
    """Writes one; gives its path."""

    def write(user, name="config", **cluster):
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [
                {"name": "c", "cluster": {"server": tls_server.url, "certificate-authority": "ca.crt", **cluster}}
            ],
            "users": [{"name": "u", "user": user}],
        }
        (files / name).write_text(yaml.safe_dump(content))
        return str(files / name)

    return write


def encoded(path):
    return base64.b64encode(path.read_bytes()).decode()


def served(path, **options):
    with closing(connect(path, **options)) as api:
        return api.get("/readyz")


def test_token_in_a_kubeconfig(kubeconfig, tls_server):
    tls_server.tokens = frozenset({"secret"})
    assert served(kubeconfig({"token": "secret"})) == b"ok"
    with pytest.raises(ApiError, match="401"):
        served(kubeconfig({"token": "wrong"}))


@pytest.mark.parametrize("inline", [False, True], ids=["files", "inline"])
def test_client_certificate_in_a_kubeconfig(kubeconfig, files, context, authority, inline):
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    if inline:
        user = {
            "client-certificate-data": encoded(files / "client.crt"),
            "client-key-data": encoded(files / "client.key"),
        }
    else:
        user = {"client-certificate": "client.crt", "client-key": "client.key"}
    assert served(kubeconfig(user)) == b"ok"
    with pytest.raises(ApiUnreachableError):
        served(kubeconfig({}))


def test_ca_inline_and_insecure(kubeconfig, files):
    data = {"certificate-authority-data": encoded(files / "ca.crt")}
    assert served(kubeconfig({}, **data)) == b"ok"
    (files / "ca.crt").write_text("")
    skip = kubeconfig({}, **{"certificate-authority": None, "insecure-skip-tls-verify": True})
    text = yaml.safe_load((files / "config").read_text())
    del text["clusters"][0]["cluster"]["certificate-authority"]
    (files / "config").write_text(yaml.safe_dump(text))
    assert served(skip) == b"ok"


def test_the_name_in_the_certificate_may_be_another(kubeconfig, tls_server):
    server = tls_server.url.replace("127.0.0.1", "localhost")
    with pytest.raises(ApiUnreachableError, match="localhost"):
        served(kubeconfig({}, server=server))
    assert served(kubeconfig({}, server=server, **{"tls-server-name": "kube.example"})) == b"ok"


def test_a_context_can_be_chosen_and_the_server_overridden(kubeconfig, tls_server):
    path = kubeconfig({"token": "t"}, server="https://192.0.2.1:1")
    assert served(path, context="here", master=tls_server.url) == b"ok"
    with pytest.raises(InputError, match="other"):
        served(path, context="other")


def plugin(files, token, status=""):
    """A credential plugin that says a token."""
    script = files / "plugin.py"
    script.write_text(
        "import json\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
        f" 'status': {{'token': {token!r}{status}}}}}))\n"
    )
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": [str(script)]}}


def test_credential_plugins_are_run(kubeconfig, files, tls_server):
    tls_server.tokens = frozenset({"from-plugin"})
    assert served(kubeconfig(plugin(files, "from-plugin"))) == b"ok"


def test_a_token_that_ends_is_renewed(kubeconfig, files, tls_server):
    path = kubeconfig(plugin(files, "old", ", 'expirationTimestamp': '2020-01-01T00:00:00Z'"))
    with closing(connect(path)) as api:
        plugin(files, "new")
        tls_server.tokens = frozenset({"new"})
        assert api.get("/readyz") == b"ok"


def test_after_401_credentials_are_looked_for_again(kubeconfig, tls_server, monkeypatch):
    path = kubeconfig({"token": "old"})
    tls_server.tokens = frozenset({"new"})
    monkeypatch.setattr(credentials, "_RENEW_EVERY", 0.0)
    with closing(connect(path)) as api:
        kubeconfig({"token": "new"})
        with pytest.raises(ApiError, match="401"):
            api.get("/readyz")
        assert api.get("/readyz") == b"ok"


@pytest.mark.parametrize(
    "text", ["", "[]", "7", "a: [", "\x00", "contexts: 5", "current-context: x\ncontexts: [{name: x}]", "clusters: {}"]
)
def test_malformed_kubeconfig_is_named(files, text):
    (files / "bad").write_text(text)
    with pytest.raises(InputError, match="bad"):
        connect(str(files / "bad"))
    with pytest.raises(InputError, match="nowhere"):
        connect(str(files / "nowhere"))


# --- proxies ----------------------------------------------------------------------------------------------------


def test_a_pipe_is_no_kubeconfig(tmp_path):
    """It is read more than once, and no other process may write to it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is a pipe"):
        connect(str(tmp_path / "pipe"))


@pytest.mark.parametrize("path", ["{folder}/missing", "{folder}/missing:{folder}/neither"])
def test_a_kubeconfig_that_is_not_there_is_said_to_be_missing(tmp_path, path):
    with pytest.raises(InputError, match="there is no such file"):
        connect(path.format(folder=tmp_path))


def test_a_kubeconfig_may_name_a_proxy(kubeconfig, tls_server):
    with Tunnel() as tunnel:
        assert served(kubeconfig({}, **{"proxy-url": tunnel.url})) == b"ok"
        assert tunnel.asked == [f"CONNECT {tls_server.url.removeprefix('https://')}"]


def test_the_environment_may_name_a_proxy(kubeconfig, monkeypatch):
    with Tunnel() as tunnel:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("https_proxy", tunnel.url)
        assert served(kubeconfig({})) == b"ok"
        assert len(tunnel.asked) == 1
        monkeypatch.setenv("no_proxy", "example.com, 127.0.0.0/8")
        assert served(kubeconfig({})) == b"ok"
        assert len(tunnel.asked) == 1


@pytest.mark.parametrize(
    ("server", "exempt", "expected"),
    [
        ("https://10.96.0.1:443", "10.96.0.0/12", False),
        ("https://10.96.0.1:443", "10.97.0.0/16,nonsense/99", True),
        ("https://[fd00::1]:443", "10.0.0.0/8, fd00::/8", False),
        ("https://api.example.com", "example.com", False),
        ("https://api.example.com", "10.0.0.0/8", True),
        ("http://api.example.com", "", False),  # there is only a proxy for https
    ],
)
def test_no_proxy_takes_names_and_blocks(server, exempt, expected, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://192.0.2.9:3128")
    monkeypatch.setenv("no_proxy", exempt)
    assert bool(proxy_for(server)) is expected


def test_a_kubeconfig_without_the_client_library_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "kubernetes.client", None)
    with pytest.raises(UnsupportedError, match=r"config: cannot be read .* pip install 'mnp-core\[kubeconfig\]'"):
        connect(str(tmp_path / "config"))
