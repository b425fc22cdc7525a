"""The flags of the node agent: one for each setting, and those that only today's agents have.

A node migrates from one of those by a change of the image, so their flags keep their names, and Go's ways of writing
a truth value (``--accept-icmp``, ``--accept-icmp=true``). Those without a meaning here are accepted with a remark.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from mnp_core.classes import frozen

SWITCHES: Final = {
    "accept-icmp": "ICMP passes under any policy.",
    "accept-icmpv6": "ICMPv6 passes; neighbour discovery always does.",
    "accept-multicast-management": "IGMP and MLD pass.",
    "publish-status": "A summary of the node's policies is published, for mnp aggregate.",
}
TEXTS: Final = {
    "agent-socket": "Socket for `mnp status` on the node; empty for none. [default: /run/mnp-agent/agent.sock]",
    "allow-src-prefix": "CIDRs, comma separated: packets from there pass.",
    "allow-dst-prefix": "CIDRs, comma separated: packets to there pass.",
    "backend": "Which backend enforces. [default: the best that this kernel supports]",
    "container-runtime-endpoint": "Socket of the container runtime. [default: the first usual one that is there]",
    "custom-v4-egress-rule-file": "IPv4 egress rules in the backend's own language, in front of ours.",
    "custom-v4-ingress-rule-file": "Likewise for ingress.",
    "custom-v6-egress-rule-file": "Likewise IPv6 egress.",
    "custom-v6-ingress-rule-file": "Likewise IPv6 ingress.",
    "connection-table-size": "Connections of a pod that mnp-ebpf keeps track of. [default: 16384]",
    "denied-log-burst": "Denied packets that are logged at once after a silence. [default: 50]",
    "denied-log-group": "NFLOG group of the log of denied packets. [default: 30667]",
    "denied-log-rate": "Denied packets a second that are logged of a pod. [default: 25]",
    "deny-action": "Treatment of denied packets: drop or reject. [default: drop]",
    "early-drop": "Where mnp-ebpf drops denied packets by XDP: off, native (the driver can) or generic. [default: off]",
    "established-flows": "Whether flows that a new policy denies go on: keep, or recheck. [default: keep]",
    "gates": "Plugins, comma separated, that hold pod starts until rules are in force. [default: none]",
    "gate-at-limit": "The fate of a start that was held too long: closed or open. [default: closed]",
    "gate-limit-seconds": "How long a start is held. [default: 10]",
    "host-prefix": "Where the host's file system is mounted.",
    "guest-addresses": "Sources, comma separated, of addresses that network-status lacks. [default: none]",
    "hostname-override": "The node's name in the API. [default: the variable NODE_NAME, else the host's name]",
    "kubeconfig": "How to reach the API server. [default: the pod's ServiceAccount]",
    "listen": "Address and port of /healthz, /readyz and /metrics; empty for none. [default: 127.0.0.1:9469]",
    "log-denied": "Pods whose denied packets are logged: off, annotated (their namespaces) or all. [default: off]",
    "log-format": "text or json. [default: text]",
    "log-level": "debug, info, warning or error. [default: info]",
    "master": "URL of the API server, instead of the kubeconfig's.",
    "network-plugins": "CNI types, comma separated: only these are enforced. [default: all that plugins claim]",
    "own-addresses": "Who is believed about a pod's own addresses: kernel or network-status. [default: kernel]",
    "peer-addresses": "Likewise for this node's pods as peers. [default: network-status]",
    "publish-interval-seconds": "Seconds between two such summaries at least. [default: 20]",
    "sandbox-locator": "How pods' network namespaces are found. [default: cri]",
    "unclaimed-interfaces": "Interfaces that nothing claims: report, or deny everything on them. [default: report]",
}
OTHER_NAMES: Final = {
    "allow-ipv6-src-prefix": "allow-src-prefix",
    "allow-ipv6-dst-prefix": "allow-dst-prefix",
}
"""Flags of multi-networkpolicy-iptables that add to a setting."""

MEANINGLESS: Final = {
    "pod-iptables": "nothing is written to disk; mnp render prints the rulesets",
    "sync-period": "changes are followed at once, there is no period",
    "container-runtime": "the runtime is known by its socket, container-runtime-endpoint",
    "v": "use log-level",
    "logtostderr": "the log always goes to standard error",
    "alsologtostderr": "the log always goes to standard error",
    "zap-devel": "use log-format and log-level",
    "zap-encoder": "use log-format",
    "zap-log-level": "use log-level",
}
"""Flags of the agents in use today that have no meaning here, and why."""

_FILES: Final = frozenset(name for name in TEXTS if name.endswith("-rule-file"))
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})  # Go's strconv.ParseBool
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


@frozen
class Flags:
    """The flags of a command line.

    Attributes:
        settings: By the names of settings, as in a file of settings.
        remarks: Remarks on some of the flags.
    """

    settings: Mapping[str, object]
    remarks: tuple[str, ...]


def options() -> list[click.Parameter]:
    """All flags, as click takes them."""
    hidden = dict.fromkeys((*OTHER_NAMES, *MEANINGLESS), "")
    return [
        *(_switch(name, words) for name, words in SWITCHES.items()),
        *(click.Option([f"--{name}"], metavar="VALUE", help=words) for name, words in TEXTS.items()),
        *(_taken(name) for name in hidden),
    ]


def read_flags(given: Mapping[str, Any]) -> Flags:
    """Parse the flags.

    Args:
        given: click's values, by flag with underscores; None for an absent flag.

    Raises:
        click.BadParameter: A truth value is none.
    """
    told = {name.replace("_", "-"): value for name, value in given.items() if value is not None}
    settings: dict[str, object] = {name: _value(name, told[name]) for name in (*SWITCHES, *TEXTS) if name in told}
    remarks = [f"--{name} has no meaning here: {MEANINGLESS[name]}" for name in MEANINGLESS if name in told]
    for name, setting in OTHER_NAMES.items():
        if name in told:
            settings[setting] = ",".join(str(text) for text in (settings.get(setting), told[name]) if text)
            remarks.append(f"--{name} means {setting} here, which holds in one direction only: see docs/migration.md")
    return Flags(settings, tuple(remarks))


def _switch(name: str, words: str) -> click.Option:
    return click.Option([f"--{name}"], is_flag=False, flag_value="true", metavar="[true|false]", help=words)


def _taken(name: str) -> click.Option:
    """A flag that is known but not recommended; a value is optional, as it is for Go's switches."""
    spelled = [f"-{name}", f"--{name}"] if len(name) == 1 else [f"--{name}"]
    if name in OTHER_NAMES:
        return click.Option(spelled, hidden=True)
    return click.Option(spelled, is_flag=False, flag_value="true", hidden=True)


def _value(name: str, text: str) -> object:
    if name in _FILES:
        return str(Path(text).absolute())  # names in a file of settings are sought beside that file
    if name not in SWITCHES:
        return text
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise click.BadParameter(f"{text!r} is neither true nor false", param_hint=f"--{name}")


def names() -> Iterable[str]:
    """Every flag that is shown."""
    return (*SWITCHES, *TEXTS)
