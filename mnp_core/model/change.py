"""A change of one object, as every source delivers it."""

from mnp_core.classes import frozen
from mnp_core.model.address_record import AddressRecord
from mnp_core.model.names import ObjectRef
from mnp_core.model.namespace import Namespace
from mnp_core.model.network import Network
from mnp_core.model.pod import Pod
from mnp_core.model.policy import Policy
from mnp_core.model.report import Report

MODULUS = 2**64
"""Of fingerprints: the sum of the tokens of all policies that somebody knows."""

KubernetesObject = Pod | Namespace | Network | Policy | AddressRecord


@frozen(kw_only=True)
class Change:
    """An object that is there, in its present state, or that is gone.

    State in, output out: a change carries the whole object, never a difference, so that a repeated or merged change
    is harmless.

    Attributes:
        ref: Kind and name.
        object: Its present state; None if it is gone, or cannot be understood at all (then `reports` say why).
        reports: Its problems.
        token: Equal for equal contents of a policy, on every node; 0 for other kinds, or where nobody asks for it.
    """

    ref: ObjectRef
    object: KubernetesObject | None
    reports: tuple[Report, ...] = ()
    token: int = 0
