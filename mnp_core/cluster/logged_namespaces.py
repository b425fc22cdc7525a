"""The namespaces whose pods have a log of denied packets, and the settings that their rules get."""

from attrs import evolve

from mnp_core.model import CommonRules


class LoggedNamespaces:
    """Chooses between the node's settings and the same without the log."""

    def __init__(self, common: CommonRules, *, only_annotated: bool) -> None:
        """Start without namespaces.

        Args:
            common: The node's settings.
            only_annotated: Whether namespaces have to ask for the log.
        """
        self._common = common
        self._silent = evolve(common, denied_log=None)
        self._only_annotated = only_annotated
        self._asking: set[str] = set()

    def put(self, namespace: str, *, asks: bool) -> bool:
        """Record whether a namespace asks for the log; return whether the rules of its pods change by that."""
        if asks == (namespace in self._asking):
            return False
        (self._asking.add if asks else self._asking.discard)(namespace)
        return self._only_annotated and self._common != self._silent

    def common(self, namespace: str) -> CommonRules:
        """The settings for the rules of pods in a namespace."""
        return self._silent if self._only_annotated and namespace not in self._asking else self._common
