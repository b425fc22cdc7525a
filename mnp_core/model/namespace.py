"""A namespace: a name and labels to select it by."""

from collections.abc import Mapping

from mnp_core.classes import frozen


@frozen(kw_only=True)
class Namespace:
    """A namespace.

    Attributes:
        name: Its name.
        labels: The labels that namespaceSelectors look at (``metadata.labels``).
        logs_denied: Whether its annotation asks for a log of the packets that its pods are denied.
    """

    name: str
    labels: Mapping[str, str]
    logs_denied: bool = False
