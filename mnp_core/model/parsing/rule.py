"""The elements of ``spec.ingress`` and ``spec.egress``.

Missing, null and ``[]`` mean everything where a rule narrows, and nothing where rules are listed (S12). What has the
wrong type never means everything.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from mnp_core.model.parsing.field import Field, accepted
from mnp_core.model.parsing.peer import parse_peer
from mnp_core.model.parsing.port import parse_policy_port
from mnp_core.model.policy import ANY_PEER, ANY_PORT, Direction, PolicyRule
from mnp_core.model.report import Reason

_PEERS = {Direction.INGRESS: "from", Direction.EGRESS: "to"}

_Item = TypeVar("_Item")
_Any = TypeVar("_Any")


def parse_rules(field: Field, direction: Direction, namespace: str) -> tuple[PolicyRule, ...]:
    """Read the rules of one direction of a policy in `namespace`."""
    elements = field.elements()
    if elements is None:
        field.report(Reason.MALFORMED, f"{field} is not a list of rules: nothing is allowed", "Write a list of rules")
    rules: dict[object, PolicyRule] = {}
    for index, element in enumerate(elements or ()):
        rule = _rule(element, index, direction, namespace)
        rules.setdefault((rule.peers, rule.ports), rule)  # equal rules are one: 400,000 times {} means {}
    return tuple(rules.values())


def _rule(field: Field, index: int, direction: Direction, namespace: str) -> PolicyRule:
    peers, ports = _PEERS[direction], "ports"
    unknown = field.unknown_keys({peers, ports})
    if unknown or not field.is_mapping:
        problem = f"a rule for {direction.value} has no field {unknown}" if unknown else f"{field} is not a rule"
        field.report(Reason.MALFORMED, f"{problem}: it allows nothing", f"Write {peers} and ports, or {{}} for all")
        return PolicyRule(index=index, peers=(), ports=())
    return PolicyRule(
        index=index,
        peers=_alternatives(
            field.child(peers), partial(parse_peer, namespace=namespace), ANY_PEER, "the peer matches nothing"
        ),
        ports=_alternatives(field.child(ports), parse_policy_port, ANY_PORT, "the entry matches nothing"),
    )


def _alternatives(
    field: Field, parse: Callable[[Field], _Item], everything: _Any, effect: str
) -> tuple[_Item, ...] | _Any:
    elements = field.elements()
    if elements is None:
        field.report(Reason.MALFORMED, f"{field} is not a list: it matches nothing", "Write a list, or leave it out")
        return ()
    if not elements:
        return everything
    return tuple(item for element in elements if (item := accepted(parse, element, effect)) is not None)
