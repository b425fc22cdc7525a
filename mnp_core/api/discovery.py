"""Interface discovery: the kinds of attachment."""

from collections.abc import Callable, Sequence
from typing import Protocol

from mnp_core.classes import frozen
from mnp_core.model import Attachment, Link


@frozen(kw_only=True)
class Discovery:
    """A discoverer's findings about one claimed attachment.

    Attributes:
        attachment: With addresses, MAC and device from the kernel; the unchanged claim if it is unenforceable, but for
            path and carrier.
        unenforceable: Empty, or why rules in the sandbox cannot enforce policy on it (S64): reported, never silent. On
            an attachment of another path than IP it holds where no backend reaches that path.
        mismatches: Where network-status and the kernel disagree, one sentence each; reported.
        binding: How the interface is bound to a guest, in words; empty for an ordinary one.
        parts: Names of the other links in the sandbox that belong to it: they are no interfaces of their own.
    """

    attachment: Attachment
    unenforceable: str = ""
    mismatches: tuple[str, ...] = ()
    binding: str = ""
    parts: frozenset[str] = frozenset()


class InterfaceDiscoverer(Protocol):
    """Knows the kinds of attachment that some CNI types make."""

    def discover(self, claim: Attachment, links: Sequence[Link]) -> Discovery:
        """Compare the claims of network-status with the links in the sandbox.

        Args:
            claim: One attachment; its kind is one of the claimed CNI types.
            links: Every interface in the pod's network namespace.

        Must not raise for anything that links or claim contain; pure apart from reading sysfs.
        """


@frozen(kw_only=True)
class InterfaceDiscovererSpec:
    """Registers an `InterfaceDiscoverer`.

    Attributes:
        name: For settings and messages.
        cni_types: The CNI plugin types that it claims (``type`` in a network configuration); the kind of an
            attachment is one of them (S4). Two discoverers that claim the same type are an error.
        factory: Makes the discoverer.
    """

    name: str
    cni_types: frozenset[str]
    factory: Callable[[], InterfaceDiscoverer]
