"""An invented dialect: policy as JSON, on a slate that each network namespace has; a fake filter reads it.

Written for a test as outside of the project: with the public modules alone.
"""

import hashlib
import json
import os
import socket
import zlib
from ipaddress import ip_address, ip_network
from pathlib import Path

from mnp_core.api import Support
from mnp_core.errors import ApplyError, InputError
from mnp_core.model import Allow, AnyPeer, AnyPort, Delta, Direction, Endpoint, Feature, Installed, Isolated, Ruleset

DIALECT = "slate"
REFUSES = frozenset({Feature.CUSTOM_RULES})
_SO_NETNS_COOKIE = 71  # <asm-generic/socket.h>: unlike an inode, never used again
_INTERFACE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"


class SlateRenderer:
    """Writes policy as JSON."""

    def render(self, policy):
        interfaces = {}
        for each in policy.interfaces:
            if (
                each.interface in {"", "lo", ".", ".."}
                or len(each.interface) > 15
                or set(each.interface) - {*_INTERFACE}
            ):
                raise InputError(f"{each.interface!r} cannot be written on a slate")
            rules = {d.value: _rules(each.of(d)) for d in Direction if isinstance(each.of(d), Isolated)}
            interfaces[each.interface] = rules
        common = policy.common
        if refused := common.features & REFUSES:
            raise InputError(f"nobody speaks the language of slates: {sorted(refused)}")
        settings = {
            "icmp": [common.accept_icmp, common.accept_icmpv6, common.accept_multicast_management],
            "Ingress": sorted(map(str, common.allow_src_prefixes)),
            "Egress": sorted(map(str, common.allow_dst_prefixes)),
            "flows": [common.deny_action, common.established_flows],
        }
        sets = {each.id: _members(each) for each in policy.groups.values()}
        content = {"interfaces": interfaces, "settings": settings, "groups": sorted(sets)}
        digest = _digest(content)
        whole = {"digest": digest, **content, "sets": {name: sorted(members) for name, members in sets.items()}}
        return Ruleset(dialect=DIALECT, text=json.dumps(whole, sort_keys=True), sets=sets, digest=digest)

    def render_delta(self, delta):
        before, after = _members(delta.before), _members(delta.after)
        added, removed = {delta.id: after - before}, {delta.id: before - after}
        change = {"group": delta.id, "added": sorted(after - before), "removed": sorted(before - after)}
        return Delta(dialect=DIALECT, text=json.dumps(change) if before != after else "", added=added, removed=removed)


def _rules(rules):
    return sorted((_rule(allow) for allow in rules.allows), key=json.dumps)


def _rule(allow):
    if not isinstance(allow, Allow):
        return {"endpoints": allow.group, "origin": str(allow.origin)}
    peers = allow.peers
    blocks = [] if isinstance(peers, AnyPeer) else [[str(b.cidr), sorted(map(str, b.excepts))] for b in peers.blocks]
    ports = (
        None if isinstance(allow.ports, AnyPort) else sorted([p.protocol, p.first, p.last] for p in allow.ports.ranges)
    )
    groups = None if isinstance(peers, AnyPeer) else sorted(peers.groups)
    return {"blocks": sorted(blocks), "groups": groups, "ports": ports, "origin": str(allow.origin)}


def _members(group):
    return frozenset(
        f"{m.address} {int(m.protocol)} {m.port}" if isinstance(m, Endpoint) else str(m) for m in group.members
    )


def _digest(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# --- the slate ----------------------------------------------------------------------------------------------------


def slate(kind="rules"):
    """The file of the network namespace that the calling thread is in."""
    with socket.socket(socket.AF_UNIX) as any_socket:
        cookie = any_socket.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    return Path(os.environ.get("SLATES", "/run/slates"), f"{cookie.hex()}.{kind}")


class SlateApplier:
    """Writes on slates."""

    def probe(self):
        return Support(usable=True, rank=-1, detail="chalk")

    def apply(self, ruleset):
        try:
            json.loads(ruleset.text)
        except ValueError as error:
            raise ApplyError(f"no JSON: {error}") from error
        _write(ruleset.text)

    def update(self, delta):
        if not delta.text:
            return
        change, found = json.loads(delta.text), _read()
        members = set((found or {"sets": {}})["sets"].get(change["group"], [None]))
        if None in members or not members.issuperset(change["removed"]) or members & {*change["added"]}:
            raise ApplyError("that is not what the slate says")
        found["sets"][change["group"]] = sorted(members - {*change["removed"]} | {*change["added"]})
        _write(json.dumps(found, sort_keys=True))

    def installed(self):
        found = _read()
        if found is None:
            return None
        sets, digest = found.pop("sets"), found.pop("digest", "")
        members = {name: frozenset(some) for name, some in sets.items()}
        return Installed(digest=digest if digest == _digest(found) else "", sets=members)

    def generation(self):
        return zlib.crc32(b"".join(each.read_bytes() for each in sorted(slate().parent.glob(f"{slate().stem}.*"))))

    def counters(self):
        return []

    def remove(self):
        slate().unlink(missing_ok=True)


def _read():
    try:
        return json.loads(slate().read_text())
    except FileNotFoundError:
        return None


def _write(text):
    target = slate()
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_suffix(f".{os.getpid()}")
    scratch.write_text(text)
    scratch.rename(target)


# --- the fake filter ----------------------------------------------------------------------------------------------


def passes(text, interface, direction, packet):
    """The verdict of a filter that reads this slate."""
    found = json.loads(text)
    rules = found["interfaces"].get(interface, {}).get(direction.value)
    if rules is None or _always(found["settings"], direction, packet):
        return True
    peer = packet.source if direction is Direction.INGRESS else packet.destination
    return any(_matches(rule, found["sets"], peer, packet) for rule in rules)


def _always(settings, direction, packet):
    icmp, icmpv6, multicast = settings["icmp"]
    four, six = packet.source.version == 4, packet.source.version == 6
    kind = packet.icmp_type if six and packet.protocol == 58 else None
    peer = packet.source if direction is Direction.INGRESS else packet.destination
    return (
        (kind in range(133, 138) and packet.hop_limit == 255)
        or (icmp and four and packet.protocol == 1)
        or (icmpv6 and six and packet.protocol == 58)
        or (multicast and (kind in {130, 131, 132, 143} or (four and packet.protocol == 2)))
        or any(peer in ip_network(prefix) for prefix in settings[direction.value])
    )


def _matches(rule, sets, peer, packet):
    if "endpoints" in rule:
        return f"{peer} {packet.protocol} {packet.port}" in sets[rule["endpoints"]]
    if rule["ports"] is not None and not any(
        protocol == packet.protocol and ((first, last) == (0, 65535) or first <= packet.port <= last)
        for protocol, first, last in rule["ports"]
    ):
        return False
    if rule["groups"] is None:
        return True
    blocks = ((ip_network(cidr), map(ip_network, excepts)) for cidr, excepts in rule["blocks"])
    return any(peer in cidr and not any(peer in e for e in excepts) for cidr, excepts in blocks) or any(
        peer in map(ip_address, sets[group]) for group in rule["groups"]
    )
