"""Floods of packets past rules that change: counted before and behind the hooks that judge them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

from mnp_core.model import SandboxPolicy
from mnp_core.testing.hosts import OTHER, PEER, POD, Host
from mnp_core.testing.policies import DENY, GROUP, OTHER_GROUP, addresses, allow, interface, isolated, sandbox

DENIED, ALLOWED = 80, 81
"""UDP ports: `changing_policies` allow one of them."""

_SENDER = """
import socket, sys
source, target, *ports = sys.argv[1:]
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind((source, 0))
targets = [(target, int(port)) for port in ports]
while True:
    for each in targets:
        try:
            sender.sendto(b"!", each)
        except PermissionError:
            pass
"""


@contextmanager
def flood(host: Host, source: str, target: str) -> Iterator[None]:
    """Send all the time, to both ports in turn, from a process of its own: a thread would wait for this one's lock."""
    command = [sys.executable, "-c", _SENDER, source, target, str(DENIED), str(ALLOWED)]
    sender: subprocess.Popen[Any] = host.run(lambda: subprocess.Popen(command))  # noqa: S603 - this program
    try:
        yield
    finally:
        sender.kill()
        sender.wait()


def changing_policies() -> Iterator[SandboxPolicy]:
    """Different rules without end: by port, by block and by group, each denies one port and allows the other."""
    for number in cycle(range(200)):
        peers = [GROUP] if number % 3 else ["10.0.0.0/24", f"10.1.0.{number}/32"]
        others = [allow([OTHER_GROUP], [f"UDP/{1000 + n}"]) for n in range(number % 5)]
        rules = isolated(allow(peers, [f"UDP/{ALLOWED}", f"TCP/{number + 1}-{number + 9}"]), *others)
        groups = [addresses(GROUP, PEER[4], POD[4], f"10.2.0.{number}")] if number % 3 else []
        used = [*groups, *([addresses(OTHER_GROUP, OTHER[4], f"10.3.0.{number}")] if others else [])]
        more = [interface(f"net{2 + n}", ingress=DENY, egress=DENY) for n in range(number % 4)]
        yield sandbox(interface("net1", ingress=rules, egress=rules), *more, groups=used)


def counting_chain(name: str, hook: str, priority: int, when: str) -> str:
    """A chain for `Host.nft` that counts both ports: ``denied WHEN`` and ``allowed WHEN``."""
    rules = "".join(
        f' udp dport {port} counter comment "{what} {when}"\n'
        for port, what in ((DENIED, "denied"), (ALLOWED, "allowed"))
    )
    return f"chain {name} {{\n type filter hook {hook} priority {priority}; policy accept;\n{rules}}}\n"


def counting_table(*chains: str) -> str:
    """A table of some `counting_chain`."""
    return f"table inet seen {{\n{''.join(chains)}}}\n"


def counted(host: Host) -> dict[str, int]:
    """Packets by comment, in a `counting_table`."""
    found: dict[str, int] = {}
    for rule in (each["rule"] for each in host.objects() if "rule" in each):
        if rule["table"] == "seen":
            counter = next(part["counter"] for part in rule["expr"] if "counter" in part)
            found[rule["comment"]] = found.get(rule["comment"], 0) + counter["packets"]
    return found
