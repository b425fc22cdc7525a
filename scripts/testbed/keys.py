"""Certificates and kubeconfigs: every client of etcd, the API server or the kubelet authenticates itself."""

import base64
import json
from pathlib import Path

from scripts.testbed import place
from scripts.testbed.command import run

_DAYS = 30
_SERVER_NAMES = (
    f"subjectAltName=IP:{place.CONTROL_PLANE},IP:{place.NODE_ADDRESS},DNS:kubernetes,DNS:kubernetes.default,"
    "DNS:kubernetes.default.svc,DNS:localhost"
)
IDENTITIES = {
    "server": "/CN=testbed-server",
    "admin": "/O=system:masters/CN=admin",
    "multus": "/CN=system:serviceaccount:kube-system:multus",
    "kubelet": f"/O=system:nodes/CN=system:node:{place.NODE}",
}
"""Names of the files, and subjects of the certificates: the API server takes O as groups, CN as user."""


def make() -> None:
    """Make missing files: an authority, a certificate for each identity, and the keys of ServiceAccounts' tokens."""
    place.KEYS.mkdir(parents=True, exist_ok=True)
    place.KEYS.chmod(0o700)
    if not path("ca.crt").exists():
        _request("ca", "-x509", "-subj", "/CN=testbed", "-out", path("ca.crt.new"))
        path("ca.crt.new").rename(path("ca.crt"))
    for name, subject in IDENTITIES.items():
        if not path(f"{name}.crt").exists():
            _sign(name, subject)
    if not path("accounts.key").exists():
        run("openssl", "genrsa", "-out", path("accounts.key"), "2048")


def path(name: str) -> Path:
    """A file of keys."""
    return place.KEYS / name


def write_kubeconfig(target: Path, identity: str) -> None:
    """Write a kubeconfig that holds all it needs, readable for this user alone."""
    cluster = {"server": place.API_URL, "certificate-authority-data": _data("ca.crt")}
    user = {"client-certificate-data": _data(f"{identity}.crt"), "client-key-data": _data(f"{identity}.key")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": cluster}],
        "users": [{"name": identity, "user": user}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": identity}}],
        "current-context": "testbed",
    }
    target.touch(mode=0o600)
    target.write_text(json.dumps(config, indent=1))


def _data(name: str) -> str:
    return base64.b64encode(path(name).read_bytes()).decode()


def _sign(name: str, subject: str) -> None:
    extensions = path(f"{name}.extensions")
    extensions.write_text(f"{_SERVER_NAMES}\nextendedKeyUsage=serverAuth,clientAuth\n")
    request = _request(name, "-subj", subject)
    signing = ("-req", "-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-CAcreateserial", "-extfile", extensions)
    certificate = run("openssl", "x509", *signing, "-days", _DAYS, stdin=request)
    path(f"{name}.crt").write_bytes(certificate)


def _request(name: str, *arguments: object) -> bytes:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", _DAYS)
    return run("openssl", "req", *curve, "-keyout", path(f"{name}.key"), *arguments)
