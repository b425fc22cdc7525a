"""Traces of the kernel, parsed from bytes that it, or a process in the pod, has made."""

import socket
import subprocess
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.model import Packet, Protocol
from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attribute, nested, number, text_attribute
from mnp_core.netfilter.headers import parse_headers
from mnp_core.netfilter.legacy_tracing import parse as parse_legacy
from mnp_core.netfilter.messages import GENERIC, TRACE
from mnp_core.netfilter.netlink import packed
from mnp_core.netfilter.nflog import Logged
from mnp_core.netfilter.tracing import NftTracing, StepKind, parse
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.netns import private_namespace

IPV4 = bytes.fromhex("450000280001000040060000 0a000001 0a000002".replace(" ", ""))
TCP = (41234).to_bytes(2, "big") + (80).to_bytes(2, "big") + bytes(16)


def message(*attributes, family=1):
    return packed(TRACE, 0, GENERIC.pack(family, 0, 0) + b"".join(attributes), 0)


def verdict(code, chain=""):
    name = text_attribute(uapi.NFTA_VERDICT_CHAIN, chain) if chain else b""
    return nested(uapi.NFTA_TRACE_VERDICT, number(uapi.NFTA_VERDICT_CODE, code) + name)


def rule(*attributes):
    return message(
        text_attribute(uapi.NFTA_TRACE_TABLE, "mnp"),
        text_attribute(uapi.NFTA_TRACE_CHAIN, "ingress"),
        number(uapi.NFTA_TRACE_TYPE, StepKind.RULE),
        attribute(uapi.NFTA_TRACE_RULE_HANDLE, (7).to_bytes(8, "big")),
        *attributes,
    )


@pytest.mark.parametrize(
    ("code", "chain", "words"),
    [(0, "", "drop"), (1, "", "accept"), (-1, "", "continue"), (-3, "x", "jump x"), (-4, "y", "goto y"), (-99, "", "")],
)
def test_verdicts_of_rules(code, chain, words):
    (step,) = parse(rule(verdict(code, chain)))
    assert (step.table, step.chain, step.handle, step.kind, step.verdict) == ("mnp", "ingress", 7, StepKind.RULE, words)


def test_the_end_of_a_base_chain_has_its_policy():
    (step,) = parse(message(number(uapi.NFTA_TRACE_TYPE, StepKind.POLICY), number(uapi.NFTA_TRACE_POLICY, 0)))
    assert (step.kind, step.verdict, step.handle) == (StepKind.POLICY, "drop", 0)


@given(st.binary(max_size=200))
def test_no_bytes_raise(data):
    list(parse(data))
    list(parse(message(data)))
    parse_legacy(Logged(prefix=data, payload=data[::-1]))
    parse_legacy(Logged(prefix=b"TRACE: filter:INPUT:rule:1 ", payload=data))


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        (b"TRACE: mangle:MNP-I-net1:rule:3 \0", ("mangle", "MNP-I-net1", StepKind.RULE, 3)),
        (b"TRACE: filter:INPUT:policy:2 \0", ("filter", "INPUT", StepKind.POLICY, 0)),
        (b"TRACE: filter:a:b:return:2 ", ("filter", "a:b", StepKind.RETURN, 0)),
        (b"TRACE: filter:INPUT:rule:x ", None),
        (b"denied by me", None),
    ],
)
def test_prefixes_of_legacy_tables(prefix, found):
    step = parse_legacy(Logged(prefix=prefix, payload=IPV4 + TCP))
    assert (step and (step.table, step.chain, step.kind, step.position)) == found
    if step:
        assert (step.family, step.packet_bytes) == (socket.AF_INET, IPV4 + TCP)


def test_packets_of_two_families_are_told_apart():
    assert parse_legacy(Logged(prefix=b"TRACE: filter:INPUT:rule:1 ", payload=b"\x60" + bytes(59))).family == 10
    assert parse_legacy(Logged(prefix=b"TRACE: filter:INPUT:rule:1 ", payload=b"\x10" + bytes(59))) is None


@pytest.mark.root
@pytest.mark.parametrize("loopback", ["127.0.0.1", "::1"])
def test_the_kernel_traces_this_flow_alone_and_no_more_packets_than_asked(loopback):
    flow = Packet(source=ip_address(loopback), destination=ip_address(loopback), protocol=Protocol.UDP, port=9)

    def trace():
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        with NftTracing([flow], most=2) as tracing, udp(loopback) as sender:
            listed = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
            for port in (8, 9, 9, 9, 9):
                sender.sendto(b"x", (loopback, port))
            return listed, list(tracing.read())

    with private_namespace() as sandbox:
        listed, steps = run_inside(sandbox, trace)
        assert "nftrace set 1" in listed
        assert "flags owner" in listed
        assert len({step.packet for step in steps if step.chain == "output"}) == 2
        assert {parse_headers(step.packet_bytes).target_port for step in steps if step.packet_bytes} == {9}
        after = run_inside(sandbox, lambda: subprocess.run(["nft", "list", "ruleset"], capture_output=True, check=True))
        assert after.stdout == b""


def udp(address):
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
