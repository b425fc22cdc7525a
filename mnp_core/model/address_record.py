"""Addresses of attachments as another object than the pod has them: a virtual machine, or a claim on addresses."""

from mnp_core.classes import frozen
from mnp_core.model.address import Address
from mnp_core.model.names import ObjectName, ObjectRef


@frozen(kw_only=True)
class RecordedInterface:
    """The addresses of one attachment.

    Attributes:
        network: Its network attachment definition; None for the attachments whose request names the object.
        interface: Its name in the pod; empty if the object does not say.
        mac: Lower case; may be empty. Tells attachments apart if `interface` does not.
        addresses: Such as a pod can have.
    """

    network: ObjectName | None = None
    interface: str = ""
    mac: str = ""
    addresses: tuple[Address, ...] = ()


@frozen(kw_only=True)
class AddressRecord:
    """An object with addresses of attachments (setting ``guest-addresses``).

    It is about pods of its namespace: those with its UID in the label of its source, or, if its source has none, those
    whose request for an attachment names it as ``ipam-claim-reference``.

    Attributes:
        ref: Kind and name.
        uid: ``metadata.uid``.
        interfaces: Attachments in the order of the object.
    """

    ref: ObjectRef
    uid: str = ""
    interfaces: tuple[RecordedInterface, ...] = ()
