"""An API server of one's own, and its store, on loopback: for tests that need no node.

The programs are those of KUBEBUILDER_ASSETS, as with envtest, or those that the test bed has built.
"""

import http.client
import json
import secrets
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, contextmanager

import pytest

from scripts.testbed.programs import find_present

FOLDERS = {
    "CustomResourceDefinition": "apiextensions.k8s.io/v1/customresourcedefinitions",
    "ClusterRole": "rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "rbac.authorization.k8s.io/v1/namespaces/kube-system/roles",
    "RoleBinding": "rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings",
    "ValidatingAdmissionPolicy": "admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}
PATIENCE = 120  # seconds, for a busy machine


class ApiServer:
    """Speaks to the server as its administrator."""

    def __init__(self, port, token, authority):
        self.port, self._token, self._authority = port, token, authority

    def request(self, method, path, body=None, *, accept="application/json", content_type="application/json", user=""):
        """Status and decoded answer; empty if that is not JSON, as where a path is not known.

        A user is impersonated, with all rights, so that admission alone decides.
        """
        context = ssl.create_default_context(cafile=self._authority)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type, "Accept": accept}
            headers |= {"Impersonate-User": user, "Impersonate-Group": "system:masters"} if user else {}
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if answer.headers.get_content_type() == "application/json" else {}
        finally:
            connection.close()

    @property
    def minor(self):
        """Of Kubernetes 1."""
        return int(self.request("GET", "/version")[1]["minor"].rstrip("+"))

    def create(self, wanted, *, may_exist=False):
        """Create an object of `FOLDERS`."""
        status, answer = self.request("POST", f"/apis/{FOLDERS[wanted['kind']]}", wanted)
        assert status == 201 or (may_exist and status == 409), answer

    def kubeconfig(self, folder):
        """A file that leads kubectl here."""
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self._authority)}
        path = folder / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "own", "cluster": cluster}],
                    "users": [{"name": "own", "user": {"token": self._token}}],
                    "contexts": [{"name": "own", "context": {"cluster": "own", "user": "own"}}],
                    "current-context": "own",
                }
            )
        )
        return path


@contextmanager
def api_server(folder):
    """A server that is ready, and gone afterwards. The folder keeps its files and logs.

    Without the programs the test that asks for it is skipped.
    """
    for program in ("etcd", "kube-apiserver"):
        if find_present(program) is None:
            pytest.skip(f"{program} is neither in KUBEBUILDER_ASSETS nor built by the test bed")  # minutes
    store, peers, port = free_ports(3)
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    subprocess.run(["openssl", "genrsa", "-out", folder / "accounts.key", "2048"], check=True, capture_output=True)
    etcd = [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{store}",
        f"--advertise-client-urls=http://127.0.0.1:{store}",
        f"--listen-peer-urls=http://127.0.0.1:{peers}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
        f"--initial-cluster=default=http://127.0.0.1:{peers}",
    ]
    server = [
        f"--etcd-servers=http://127.0.0.1:{store}",
        f"--cert-dir={folder / 'certificates'}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        f"--service-account-key-file={folder / 'accounts.key'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--disable-admission-plugins=ServiceAccount",
        "--allow-privileged=true",
    ]
    with ExitStack() as stack:
        stack.enter_context(running("etcd", etcd, folder))
        process = stack.enter_context(running("kube-apiserver", server, folder))
        api = ApiServer(port, token, folder / "certificates/apiserver.crt")
        wait_for(lambda: is_ready(api), process, folder)
        yield api


def is_ready(api):
    try:
        status, _ = api.request("GET", "/api/v1/namespaces/default")
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return status == 200


def wait_for(condition, process, folder):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, (folder / "kube-apiserver.log").read_text()[-2000:]
        assert time.monotonic() < deadline, "the API server is not ready"
        time.sleep(0.2)


@contextmanager
def running(name, arguments, folder):
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen([find_present(name), *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
