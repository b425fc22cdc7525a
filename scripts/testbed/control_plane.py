"""etcd, the API server, the controller manager and the scheduler: how each is started."""

from scripts.testbed import place, programs
from scripts.testbed.daemon import Daemon
from scripts.testbed.keys import path, write_kubeconfig
from scripts.testbed.kind import chosen

_ONLY_ONE = ("--leader-elect=false", f"--kubeconfig={place.KUBECONFIG}")


def etcd() -> Daemon:
    """The store; clients need a certificate, as it holds every secret."""
    server, authority = path("server.crt"), path("ca.crt")
    return Daemon(
        name="etcd",
        command=(
            programs.find("etcd"),
            "--name=testbed",
            f"--data-dir={place.ROOT / 'etcd'}",
            f"--listen-client-urls={place.ETCD_URL}",
            f"--advertise-client-urls={place.ETCD_URL}",
            f"--listen-peer-urls={place.ETCD_PEER_URL}",
            f"--initial-advertise-peer-urls={place.ETCD_PEER_URL}",
            f"--initial-cluster=testbed={place.ETCD_PEER_URL}",
            f"--cert-file={server}",
            f"--key-file={path('server.key')}",
            f"--trusted-ca-file={authority}",
            "--client-cert-auth",
            f"--peer-cert-file={server}",
            f"--peer-key-file={path('server.key')}",
            f"--peer-trusted-ca-file={authority}",
            "--peer-client-cert-auth",
            *(() if chosen().packaged else ("--unsafe-no-fsync",)),  # nothing here outlives the machine
        ),
    )


def apiserver() -> Daemon:
    """The API server. ServiceAccounts' tokens are bound to their pods and expire, as in clusters of today."""
    program = programs.find("kube-apiserver")
    gate = ("--feature-gates=BoundServiceAccountTokenVolume=true",) if programs.minor_version(program) <= 20 else ()
    return Daemon(
        name="kube-apiserver",
        command=(
            program,
            f"--bind-address={place.CONTROL_PLANE}",
            f"--advertise-address={place.NODE_ADDRESS}",  # must not be loopback; not published
            "--endpoint-reconciler-type=none",
            f"--secure-port={place.API_PORT}",
            f"--etcd-servers={place.ETCD_URL}",
            f"--etcd-cafile={path('ca.crt')}",
            f"--etcd-certfile={path('admin.crt')}",
            f"--etcd-keyfile={path('admin.key')}",
            f"--tls-cert-file={path('server.crt')}",
            f"--tls-private-key-file={path('server.key')}",
            f"--client-ca-file={path('ca.crt')}",
            f"--kubelet-client-certificate={path('admin.crt')}",
            f"--kubelet-client-key={path('admin.key')}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={path('accounts.key')}",
            f"--service-account-key-file={path('accounts.key')}",
            f"--service-cluster-ip-range={place.SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--anonymous-auth=false",
            "--allow-privileged=true",
            "--profiling=false",
            "--delete-collection-workers=16",  # tests remove thousands of pods at once
            *gate,
        ),
    )


def controller_manager() -> Daemon:
    """The controllers. A node counts as dead late: tests make nodes without a kubelet, and stop the real one."""
    return Daemon(
        name="kube-controller-manager",
        command=(
            programs.find("kube-controller-manager"),
            *_ONLY_ONE,
            f"--service-account-private-key-file={path('accounts.key')}",
            f"--root-ca-file={path('ca.crt')}",
            "--controllers=*,-nodeipam",
            "--kube-api-qps=500",  # tests make and remove many objects at once
            "--kube-api-burst=1000",
            "--node-monitor-grace-period=24h",
            f"--bind-address={place.CONTROL_PLANE}",
            *_no_plain_port("kube-controller-manager"),
        ),
    )


def scheduler() -> Daemon:
    """Puts pods on nodes."""
    return Daemon(
        name="kube-scheduler",
        command=(
            programs.find("kube-scheduler"),
            *_ONLY_ONE,
            f"--bind-address={place.CONTROL_PLANE}",
            *_no_plain_port("kube-scheduler"),
        ),
    )


def write_kubeconfigs() -> None:
    """For the administrator, which is the tests' user, and for the kubelet."""
    write_kubeconfig(place.KUBECONFIG, "admin")
    write_kubeconfig(place.CONFIG / "kubelet.kubeconfig", "kubelet")


def _no_plain_port(program: str) -> tuple[str, ...]:
    """Disable the port without TLS, which old versions open by default."""
    return ("--port=0",) if programs.minor_version(programs.find(program)) < 23 else ()
