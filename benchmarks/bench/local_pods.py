"""Pods of one node: network namespaces, each with a process and a macvlan interface, and a sender beside them."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from typing import Final

from attrs import frozen

from mnp_core.api import Sandbox
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import End, macvlan, private_namespace, veth_pair

FIRST: Final = IPv4Address("10.60.1.0")
SENDER: Final = IPv4Address("10.60.0.2")
INTERFACE: Final = "net1"
_LASTS: Final = 3600  # seconds that a pod's process lives if nobody ends it


@frozen(kw_only=True)
class LocalPod:
    """One pod.

    Attributes:
        name: In the API.
        address: On the secondary network.
        sandbox: Its network namespace.
        pid: Of its process.
    """

    name: str
    address: IPv4Address
    sandbox: Sandbox
    pid: int


@frozen(kw_only=True)
class LocalPods:
    """The pods of the node, and who sends to them."""

    pods: tuple[LocalPod, ...]
    sender: Sandbox

    def addresses(self) -> Mapping[str, str]:
        """Addresses by paths of namespaces."""
        return {pod.sandbox.path: str(pod.address) for pod in self.pods}

    def forget_rules(self) -> None:
        """Take all rules out of the pods' kernels."""
        command = ["nft", "flush", "ruleset"]
        for pod in self.pods:
            run_inside(pod.sandbox, lambda: subprocess.run(command, check=True))  # noqa: S603 # no input


@contextmanager
def local_pods(count: int) -> Iterator[LocalPods]:
    """Make pods; they are gone afterwards."""
    with ExitStack() as stack:
        hub, sender = (stack.enter_context(private_namespace()) for _ in range(2))
        veth_pair(End(hub, "parent"), End(sender, "unused"))
        macvlan(End(hub, "parent"), End(sender, INTERFACE, (f"{SENDER}/16",)))
        pods = [_pod(stack, hub, number) for number in range(count)]
        yield LocalPods(pods=tuple(pods), sender=sender)


def _pod(stack: ExitStack, hub: Sandbox, number: int) -> LocalPod:
    sandbox, address = stack.enter_context(private_namespace()), FIRST + number
    macvlan(End(hub, "parent"), End(sandbox, INTERFACE, (f"{address}/16",)))
    process = run_inside(sandbox, lambda: subprocess.Popen(["sleep", str(_LASTS)]))  # noqa: S603, S607 # no input
    stack.callback(process.wait)
    stack.callback(process.kill)
    return LocalPod(name=f"local-{number}", address=address, sandbox=sandbox, pid=process.pid)
