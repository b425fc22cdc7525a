"""The nft program as another process in the pod would use it: to list, to add its own rules, to tamper.

All of it happens in the network namespace of the calling thread, so call it through `run_inside`.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

from mnp_core.errors import UnsupportedError

FOREIGN = """
table inet theirs {
 set friends { type ipv4_addr; elements = { 10.6.6.6 } }
 chain input {
  type filter hook input priority 0; policy accept;
  udp dport 4242 drop comment "theirs"
 }
 chain output {
  type filter hook output priority 100; policy accept;
  udp dport 4242 drop
 }
}
table ip theirs {
 chain nat { type nat hook postrouting priority srcnat; policy accept; }
}
"""
"""Rules such as a service mesh has; they drop UDP to port 4242, in and out."""

FOREIGN_PORT = 4242

_PUT = "put here to tamper"


def nft(*arguments: str, commands: str = "") -> str:
    """Run nft, and return its output.

    Raises:
        UnsupportedError: The program is not installed.
        AssertionError: It refuses.
    """
    if shutil.which("nft") is None:
        raise UnsupportedError("the nft program is not installed: apt-get install nftables")
    done = subprocess.run(["nft", *arguments], input=commands, text=True, capture_output=True, check=False)  # noqa: S603, S607 # wherever it is
    if done.returncode:
        raise AssertionError(f"nft {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def load(commands: str) -> None:
    """Run commands, as one transaction."""
    nft("-f", "-", commands=commands)


def listing() -> str:
    """Everything in the packet filter, without counters."""
    return nft("-s", "list", "ruleset")


def foreign_listing() -> str:
    """The part of `FOREIGN` that is there."""
    return "".join(nft("-s", "list", "table", family, "theirs") for family in ("inet", "ip"))


def tampering() -> Iterator[tuple[str, str]]:
    """Ways to tamper with the present ruleset: a description and the commands of each."""
    yield "everything is gone", "flush ruleset\n"
    objects: list[dict[str, Any]] = json.loads(nft("-j", "-a", "list", "ruleset"))["nftables"]
    for chain in (each["chain"] for each in objects if "chain" in each):
        where = f"{chain['family']} {chain['table']} {chain['name']}"
        rules = [r["rule"]["handle"] for r in objects if "rule" in r and _in(r["rule"], chain) and not _put(r["rule"])]
        yield f"a rule is put in front of chain {where}", f'insert rule {where} counter accept comment "{_PUT}"\n'
        if rules:
            yield f"the first rule of chain {where} is gone", f"delete rule {where} handle {rules[0]}\n"
            yield f"the last rule of chain {where} is gone", f"delete rule {where} handle {rules[-1]}\n"
            yield f"chain {where} is empty", f"flush chain {where}\n"
    for each in (found["set"] for found in objects if "set" in found):
        where = f"{each['family']} {each['table']} {each['name']}"
        if each.get("elem"):
            yield f"set {where} is empty", f"flush set {where}\n"
        if each["type"] == "ipv4_addr":
            yield f"set {where} has a member more", f"add element {where} {{ 203.0.113.66 }}\n"


def _in(rule: dict[str, Any], chain: dict[str, Any]) -> bool:
    return (rule["family"], rule["table"], rule["chain"]) == (chain["family"], chain["table"], chain["name"])


def _put(rule: dict[str, Any]) -> bool:
    """Whether tampering has put it there, into a chain that is not the plugin's alone: it may stay."""
    return bool(rule.get("comment") == _PUT)
