"""Settings of gates, which hold the start of pods until their rules are in force."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from attrs import field

from mnp_core.classes import frozen
from mnp_core.model import ObjectName
from mnp_core.settings._values import Values

_SHORTEST, _LONGEST = 0.1, 60.0


class AtLimit(StrEnum):
    """The fate of a start whose rules are not in force within the limit; reported either way."""

    CLOSED = (
        "closed"  # everything is denied on the pod's interfaces, or the start is refused and retried by the kubelet
    )
    OPEN = "open"  # the pod starts


class UnclaimedInterfaces(StrEnum):
    """The treatment of interfaces that lead out of a pod and that neither a gate nor an annotation claims (S64)."""

    REPORT = "report"
    DENY = "deny"  # and report


@frozen(kw_only=True)
class GateSettings:
    """How pod starts are held.

    Attributes:
        names: The gates in use.
        settings: Settings of gates by name.
        seconds: The longest that a start is held.
        at_limit: What happens then.
        networks: Exceptions by network.
    """

    names: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(factory=dict)
    seconds: float = 10.0
    at_limit: AtLimit = AtLimit.CLOSED
    networks: Mapping[ObjectName, AtLimit] = field(factory=dict)

    def opens(self, networks: Iterable[ObjectName]) -> bool:
        """Whether a pod on these networks starts at the limit: all of them have to be open."""
        fates = {self.networks.get(network, self.at_limit) for network in networks} or {self.at_limit}
        return fates == {AtLimit.OPEN}


def parse_gate_settings(values: Values) -> GateSettings:
    """Understand them; raises InputError."""
    return GateSettings(
        names=values.texts("gates"),
        settings=values.texts_by_name("gate-settings"),
        seconds=values.seconds("gate-limit-seconds", GateSettings().seconds, _SHORTEST, _LONGEST),
        at_limit=values.choice("gate-at-limit", AtLimit, AtLimit.CLOSED),
        networks={
            values.object_name("gate-at-limit-by-network", name): values.one_of(
                "gate-at-limit-by-network", AtLimit, text
            )
            for name, text in values.texts_by_name("gate-at-limit-by-network").items()
        },
    )
