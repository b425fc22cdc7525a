"""The question about a flow: its ends and its ports."""

from collections.abc import Mapping
from typing import Any, Final

from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import Address, ObjectName, Protocol, parse_address
from mnp_core.node.status.protocol import reject_unknown, text_argument, texts_argument
from mnp_core.policy.ends import Flow

_ARGUMENTS: Final = frozenset({"from", "to", "ports", "seconds"})
_MOST_PORTS: Final = 64
_LAST_PORT: Final = 65535
_LONGEST: Final = 10.0
_WITH_PORTS: Final = frozenset({"tcp", "udp", "sctp"})

End = ObjectName | Address


@frozen(kw_only=True)
class FlowQuestion:
    """A flow between two ends.

    Attributes:
        source: A pod or an address.
        destination: Likewise.
        flows: The protocols and ports; empty for those that the destination declares.
        seconds: Between two readings of the counters.
    """

    source: End
    destination: End
    flows: tuple[Flow, ...]
    seconds: float


def parse_flow_question(
    arguments: Mapping[str, Any], *, longest: float = _LONGEST, others: frozenset[str] = frozenset()
) -> FlowQuestion:
    """Understand the arguments of a request.

    Args:
        arguments: All of them.
        longest: The most seconds.
        others: Arguments with a meaning elsewhere.

    Raises:
        InputError: One is of no use, or unknown.
    """
    reject_unknown(arguments, _ARGUMENTS | others)
    texts = texts_argument(arguments, "ports")
    if len(texts) > _MOST_PORTS:
        raise InputError(f"at most {_MOST_PORTS} ports", where="request", field="ports")
    seconds = arguments.get("seconds", 0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= longest:
        raise InputError(f"must be 0 to {longest:g} seconds", where="request", field="seconds")
    source, destination = (_end(text_argument(arguments, name), name) for name in ("from", "to"))
    return FlowQuestion(source=source, destination=destination, flows=tuple(map(_flow, texts)), seconds=float(seconds))


def _end(text: str, argument: str) -> End:
    namespace, slash, name = text.partition("/")
    if slash and namespace and name and "/" not in name:
        return ObjectName(namespace, name)
    try:
        return parse_address(text)
    except ValueError as error:
        problem = f"{text[:80]!r} is neither NAMESPACE/POD nor an address"
        raise InputError(problem, where="request", field=argument) from error


def _flow(text: str) -> Flow:
    protocol, _, port = text.lower().partition(":")
    if text.lower() == "icmp":
        return Flow(protocol=Protocol.ICMP)
    if protocol not in _WITH_PORTS or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) <= _LAST_PORT:
        raise InputError(f"{text[:80]!r} is none of tcp:80, udp:53, sctp:99 and icmp", where="request", field="ports")
    return Flow(protocol=Protocol[protocol.upper()], port=int(port))
