"""Which pods a request asks for: of a namespace, by name, or with an interface on a network."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from mnp_core.classes import frozen
from mnp_core.errors import InputError
from mnp_core.model import Attachment, ObjectName
from mnp_core.node.status.protocol import reject_unknown, text_argument, texts_argument

SELECTION: Final = frozenset({"namespace", "pods", "networks"})
_MOST: Final = 1000  # names in a request


@frozen(kw_only=True)
class Selection:
    """Pods that fulfil every condition; an empty one is fulfilled by all."""

    namespace: str = ""
    pods: frozenset[ObjectName] = frozenset()
    networks: frozenset[ObjectName] = frozenset()

    def has(self, pod: ObjectName) -> bool:
        """Whether a pod fulfils the conditions on names."""
        return self.namespace in {"", pod.namespace} and (not self.pods or pod in self.pods)

    def has_network(self, attachments: Iterable[Attachment]) -> bool:
        """Whether a pod with these attachments fulfils the condition on networks."""
        return not self.networks or any(attachment.network in self.networks for attachment in attachments)


def parse_selection(arguments: Mapping[str, Any], known: frozenset[str]) -> Selection:
    """Understand the arguments of a request.

    Args:
        arguments: All of them.
        known: The names of those that the request has.

    Raises:
        InputError: One is of no use, or unknown.
    """
    reject_unknown(arguments, known)
    return Selection(
        namespace=text_argument(arguments, "namespace"),
        pods=_names(arguments, "pods"),
        networks=_names(arguments, "networks"),
    )


def _names(arguments: Mapping[str, Any], argument: str) -> frozenset[ObjectName]:
    texts = texts_argument(arguments, argument)
    if len(texts) > _MOST:
        raise InputError(f"at most {_MOST} names", where="request", field=argument)
    return frozenset(_name(text, argument) for text in texts)


def _name(text: str, argument: str) -> ObjectName:
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise InputError(f"{text[:80]!r} is not NAMESPACE/NAME", where="request", field=argument)
    return ObjectName(namespace, name)
