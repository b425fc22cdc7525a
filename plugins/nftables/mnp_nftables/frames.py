"""Bridged interfaces: the rules of an interface whose packets pass the pod as frames, in a table of family ``bridge``.

Hooks, priorities and rules are those of the table of family ``inet``; a rule names the port that frames come in or
leave by, and the kernel tracks their connections by nf_conntrack_bridge (Linux 5.3), likewise. What differs:

* The family of a packet is its frame's (``meta protocol``), as every packet here is of family ``bridge``.
* ARP passes (S43). A frame that is neither IP nor ARP belongs to no policy and is denied: one with a VLAN tag is
  counted as ``denied-vlan``, since the kernel would take its content for that of the untagged network, the others as
  ``denied-frames``. The tag is read from the frame, even if the kernel holds it beside the frame.
* Denied packets are always dropped: the kernel has no reject at the hook where egress is judged (S48).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from attrs import evolve

from mnp_core.model import (
    Audited,
    CommonRules,
    DenyAction,
    Direction,
    InterfacePolicy,
    Isolated,
    LinkPath,
    SandboxPolicy,
)
from mnp_core.netfilter.batch import Batch
from mnp_core.netfilter.comments import encode
from mnp_core.netfilter.expressions import ETHER_TYPES, META_ETHER_TYPE
from mnp_core.netfilter.messages import NFPROTO_BRIDGE
from mnp_nftables import expressions as kernel
from mnp_nftables import terms
from mnp_nftables.chains import established_rules, interface_chains
from mnp_nftables.content import code_content
from mnp_nftables.names import COMMENT_LIMIT, ChainName, interface_name
from mnp_nftables.rule import Chain, Rule
from mnp_nftables.terms import ACCEPT, COUNTER, DROP, Code, Term
from mnp_nftables.transaction import BASE_CHAINS, STATE_CHAIN

FAMILY = NFPROTO_BRIDGE
DENIED_VLAN, DENIED_FRAMES = "denied-vlan", "denied-frames"
_WORDS = {"meta nfproto ipv4": "meta protocol ip", "meta nfproto ipv6": "meta protocol ip6"}


def is_bridged(interface: InterfacePolicy) -> bool:
    """Whether an interface has rules here."""
    return interface.path is LinkPath.BRIDGED and bool(interface.carrier)


def frame_chains(policy: SandboxPolicy) -> Iterator[Chain]:
    """All chains of the table.

    Raises:
        InputError: A name that the kernel does not take.
    """
    yield Chain(name=STATE_CHAIN, rules=(Rule.of(terms.state("new")),))
    bridged = [each for each in policy.interfaces if is_bridged(each)]
    for name, (_, _, _, direction) in BASE_CHAINS.items():
        yield Chain(name=name, rules=tuple(_dispatch(policy, bridged, direction)))
    common = evolve(policy.common, deny_action=DenyAction.DROP)
    for interface in bridged:
        yield from _interface_chains(interface, common)


def in_family(batch: Batch) -> Batch:
    """The same messages, about the table of family ``bridge``."""
    return batch.in_family(FAMILY)


def translated(chain: Chain) -> Chain:
    """A chain of the table of family ``inet`` as one of this table."""
    return Chain(name=chain.name, rules=tuple(map(_translated, chain.rules)))


def _interface_chains(interface: InterfacePolicy, common: CommonRules) -> Iterator[Chain]:
    begins = {str(ChainName(direction=each, interface=interface.interface)): each for each in Direction}
    for chain in interface_chains(interface, common):
        found = translated(chain)
        if direction := begins.get(chain.name):
            foreign = _foreign_frames(audits=isinstance(interface.of(direction), Audited))
            found = Chain(name=found.name, rules=(*foreign, *established_rules(common.established_flows), *found.rules))
        yield found


def _dispatch(policy: SandboxPolicy, bridged: Sequence[InterfacePolicy], direction: Direction) -> Iterator[Rule]:
    for interface in bridged:
        if isinstance(interface.of(direction), Isolated | Audited):
            carrier = interface_name(interface.carrier, pod=policy.pod)
            chain = ChainName(direction=direction, interface=interface_name(interface.interface, pod=policy.pod))
            yield Rule.of(terms.interface(direction, carrier) + terms.goto(str(chain)))


def _foreign_frames(*, audits: bool) -> Iterator[Rule]:
    """First of all: connection tracking would take the content of a tagged frame for an established connection."""
    verdict = ACCEPT if audits else DROP
    yield _rule(terms.ARP, "arp", ACCEPT)
    for tag in terms.VLAN_TAGS:
        yield _rule(tag, "would-deny" if audits else DENIED_VLAN, verdict)
    yield _rule(terms.NO_IP, "would-deny" if audits else DENIED_FRAMES, verdict)


def _rule(match: Term, label: str, verdict: Term) -> Rule:
    return Rule.of(match + COUNTER + verdict, encode(label, COMMENT_LIMIT))


def _translated(rule: Rule) -> Rule:
    text = rule.text
    for ours, theirs in _WORDS.items():
        text = text.replace(ours, theirs)
    return Rule(text=text, code=tuple(_translated_code(rule.code)), userdata=rule.userdata)


def _translated_code(code: Sequence[Code]) -> Iterator[Code]:
    """Replace each question for the family; the kernel's own encoding of it counts, too (custom rules)."""
    asked = False
    for each in code:
        content = code_content(each)
        if content == _family_asked():
            asked = True
            yield kernel.meta(META_ETHER_TYPE)
        elif asked:
            asked = False
            yield _family_answers().get(content, each)
        else:
            yield each


@lru_cache
def _family_asked() -> bytes:
    return code_content(kernel.meta(kernel.META_FAMILY))


@lru_cache
def _family_answers() -> dict[bytes, bytes]:
    return {
        code_content(kernel.equals(bytes([number]))): kernel.equals(ETHER_TYPES[version])
        for version, number in terms.FAMILY_NUMBER.items()
    }
