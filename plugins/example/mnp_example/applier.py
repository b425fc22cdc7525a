"""Write rulesets to the kernel with the nft program, and read them back.

Core calls this inside the pod's network namespace; a program that is started there runs there. Two stamps stand in the
table: the digest identifies the ruleset, and is part of it; the checksum covers the table as the
kernel has it, so that a later change is noticed (S63).
"""

import hashlib
import os
import subprocess
import zlib
from collections.abc import Sequence
from ipaddress import ip_address
from json import loads
from typing import Any

from mnp_core.api import Support
from mnp_core.errors import ApplyError
from mnp_core.model import Delta, Installed, RuleCounter, Ruleset
from mnp_example.renderer import CHAINS, STAMP, TABLE

_DELETE = f"add table {TABLE}\ndelete table {TABLE}\n"
_ENVIRONMENT = {**os.environ, "LC_ALL": "C"}


class ExampleApplier:
    """An `mnp_core.api.RuleApplier`; it has no state, so one serves all threads."""

    def probe(self) -> Support:
        """Whether the program is there and may do it."""
        try:
            _nft("list", "tables")
        except ApplyError as error:
            return Support(usable=False, detail=f"{error}; install nftables, and run as root")
        return Support(usable=True, rank=1, detail="the nft program")

    def apply(self, ruleset: Ruleset) -> None:
        """Replace everything of ours, in one transaction; then write the checksum."""
        found = [(kind, each[kind]["name"]) for each in _objects() or () for kind in ("chain", "set") if kind in each]
        known = {*CHAINS, STAMP, *ruleset.sets}
        stale = [f"delete {kind} {TABLE} {name}\n" for kind, name in found if name not in known]
        try:
            _run("".join([ruleset.text, *stale]))
        except ApplyError:  # perhaps foreign objects with our names: delete them
            _run(_DELETE + ruleset.text)
        _run(f'add rule {TABLE} {STAMP} counter comment "checksum {_checksum(_objects() or [])}"\n')

    def update(self, delta: Delta) -> None:
        """Change membership, in one transaction."""
        if delta.text:
            _run(delta.text)

    def installed(self) -> Installed | None:
        """Read digest and membership; a digest only if the checksum is right."""
        objects = _objects()
        if objects is None:
            return None
        stamps = {comment for each in objects if (comment := _stamp(each))}
        digest = next((stamp.removeprefix("digest ") for stamp in stamps if stamp.startswith("digest ")), "")
        unchanged = f"checksum {_checksum(objects)}" in stamps
        sets = [each["set"] for each in objects if "set" in each]
        members = {each["name"]: frozenset(map(_element, each.get("elem", []))) for each in sets}
        return Installed(digest=digest if unchanged else "", sets=members)

    def generation(self) -> int:
        """A checksum of everything that nft lists."""
        return zlib.crc32(_nft("-s", "-a", "list", "ruleset").encode())

    def counters(self) -> Sequence[RuleCounter]:
        """The counters of rules with a comment of ours."""
        rules = [each["rule"] for each in _objects() or () if "rule" in each and not _stamp(each)]
        return [
            RuleCounter(interface=where[0], direction=where[1], label=where[2], **part["counter"])
            for rule in rules
            for part in rule["expr"]
            if "counter" in part and len(where := rule.get("comment", "").split(" ", 2)) == 3
        ]

    def remove(self) -> None:
        """Delete the table."""
        _run(_DELETE)


def _run(commands: str) -> None:
    """Run commands as one transaction."""
    _nft("-f", "-", commands=commands)


def _nft(*arguments: str, commands: str = "") -> str:
    """Run the program; raises ApplyError with its words."""
    try:
        done = subprocess.run(  # noqa: S603 # no shell, and commands go through standard input
            ["nft", *arguments],  # noqa: S607 # wherever it is installed
            input=commands,
            text=True,
            capture_output=True,
            env=_ENVIRONMENT,
            check=False,
        )
    except OSError as error:
        raise ApplyError(f"the nft program cannot be run: {error.strerror}") from error
    if done.returncode:
        raise ApplyError(f"nft refused: {done.stderr.strip()}")
    return done.stdout


def _objects() -> list[dict[str, Any]] | None:
    """Everything in our table, None if it is not there."""
    if f"table {TABLE}" not in _nft("list", "tables").splitlines():
        return None
    found = loads(_nft("-j", "-a", "-p", "list", "table", *TABLE.split()))["nftables"]
    return [each for each in found if "metainfo" not in each]


def _stamp(found: dict[str, Any]) -> str:
    """The stamp that an object is, or nothing."""
    return found["rule"].get("comment", "") if "rule" in found and found["rule"]["chain"] == STAMP else ""


def _checksum(objects: list[dict[str, Any]]) -> str:
    """A digest of everything but counters, membership and the checksum itself; handles are in it."""
    parts = []
    for kind, body in (item for each in objects if not _stamp(each).startswith("checksum ") for item in each.items()):
        expressions = [part for part in body.get("expr", []) if "counter" not in part]
        parts.append((kind, sorted({**body, "elem": "", "expr": str(expressions)}.items())))
    return hashlib.sha256(str(parts).encode()).hexdigest()


def _element(found: Any) -> str:
    """A member as the renderer writes it."""
    if isinstance(found, dict):
        address, protocol, port = found["concat"]
        return f"{ip_address(address)} . {protocol} . {port}"
    return str(ip_address(found))
