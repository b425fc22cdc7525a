"""A namespace: a name and labels to select it by."""

from collections.abc import Mapping

from attrs import frozen


@frozen(kw_only=True)
class Namespace:
    """A namespace with the labels that namespaceSelectors look at (``metadata.labels``)."""

    name: str
    labels: Mapping[str, str]
