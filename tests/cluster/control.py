"""An API server with an etcd of its own, for tests that disturb a cluster: compaction, restarts, other permissions."""

import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import time
from contextlib import suppress

import trustme
import urllib3
import yaml

from scripts.testbed.programs import find_present

PATIENCE = 60  # seconds for a server to become ready
PROGRAMS = ("etcd", "kube-apiserver", "etcdctl")


def programs():
    """Paths of the programs by name, from KUBEBUILDER_ASSETS or the test bed; None if missing."""
    return {name: find_present(name) for name in PROGRAMS}


def free_ports(number):
    """Unused ports of loopback."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class ControlPlane:
    """etcd and kube-apiserver as children of this process, in a folder. A context manager."""

    def __init__(self, folder):
        self.folder = folder
        self.programs = programs()
        self.etcd_port, self.peer_port, self.port = free_ports(3)
        self.url = f"https://127.0.0.1:{self.port}"
        self.token = secrets.token_hex()
        self._running = {}
        self._write_keys()
        context = ssl.create_default_context(cafile=folder / "ca.crt")
        self._http = urllib3.PoolManager(ssl_context=context, maxsize=16, retries=False)

    def __enter__(self):
        self.start_etcd()
        self.start_apiserver()
        return self

    def __exit__(self, *_):
        for name in list(self._running):
            self.end(name)
        self._http.clear()

    def _write_keys(self):
        authority = trustme.CA()
        served = authority.issue_cert("127.0.0.1", "localhost")
        authority.cert_pem.write_to_path(self.folder / "ca.crt")
        served.cert_chain_pems[0].write_to_path(self.folder / "server.crt")
        served.private_key_pem.write_to_path(self.folder / "server.key")
        (self.folder / "tokens").write_text(
            f'{self.token},admin,1,"system:masters"\nnobody-{self.token},nobody,2\nagent-{self.token},agent,3\n'
        )

    def kubeconfig(self, user="", server=None):
        """A kubeconfig of a user: the administrator, ``agent`` or ``nobody``."""
        token = f"{user}-{self.token}" if user else self.token
        cluster = {"server": server or self.url, "certificate-authority": str(self.folder / "ca.crt")}
        path = self.folder / f"kubeconfig-{user}-{secrets.token_hex(4)}"
        content = {
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "it", "user": {"token": token}}],
        }
        path.write_text(yaml.safe_dump(content))
        return str(path)

    # --- processes ----------------------------------------------------------------------------------------------

    def _start(self, name, *flags):
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen([self.programs[name], *flags], stdout=log, stderr=log)

    def end(self, name, with_signal=signal.SIGTERM):
        """End one of them."""
        process = self._running.pop(name)
        process.send_signal(with_signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        self._http.clear()  # connections to the process that has ended

    def start_etcd(self):
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        self._start(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        )

    def start_apiserver(self, *, ready=True):
        self._start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            f"--cert-dir={self.folder}",
            f"--tls-cert-file={self.folder / 'server.crt'}",
            f"--tls-private-key-file={self.folder / 'server.key'}",
            f"--secure-port={self.port}",
            "--bind-address=127.0.0.1",
            "--service-account-issuer=https://issuer.example",
            f"--service-account-signing-key-file={self.folder / 'server.key'}",
            f"--service-account-key-file={self.folder / 'server.key'}",
            f"--token-auth-file={self.folder / 'tokens'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
        )
        if ready:
            self.wait_ready()

    def wait_ready(self):
        end = time.monotonic() + PATIENCE
        while not self.is_ready():
            assert time.monotonic() < end, (self.folder / "kube-apiserver.log").read_text()[-3000:]
            time.sleep(0.1)

    def is_ready(self):
        with suppress(urllib3.exceptions.HTTPError):
            return self._http.request("GET", f"{self.url}/readyz", headers=self._headers()).status == 200
        return False

    def compact(self):
        """Let etcd forget all of its history."""
        etcdctl = [self.programs["etcdctl"], f"--endpoints=127.0.0.1:{self.etcd_port}"]
        environment = {**os.environ, "ETCDCTL_API": "3"}
        command = [*etcdctl, "endpoint", "status", "--write-out=json"]
        found = subprocess.run(command, env=environment, check=True, capture_output=True)
        revision = json.loads(found.stdout)[0]["Status"]["header"]["revision"]
        subprocess.run([*etcdctl, "compact", str(revision)], env=environment, check=True, capture_output=True)

    # --- objects ------------------------------------------------------------------------------------------------

    def _headers(self):
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}

    def send(self, method, path, body=None):
        """Send a request as administrator; return the response body."""
        data = None if body is None else json.dumps(body)
        found = self._http.request(method, self.url + path, body=data, headers=self._headers())
        assert found.status < 300, f"{method} {path}: {found.status} {found.data[:300]}"
        return json.loads(found.data)
