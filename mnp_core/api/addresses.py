"""Sources of addresses of attachments for which network-status has none."""

from collections.abc import Callable, Mapping

from mnp_core.classes import frozen
from mnp_core.model import AddressRecord, Report


@frozen(kw_only=True)
class AddressSourceSpec:
    """Registers a kind of object with addresses of attachments; the setting ``guest-addresses`` names those in use.

    Attributes:
        name: For the setting.
        group: API group, for example ``kubevirt.io``.
        versions: Served versions that are understood, preferred first.
        kind: ``kind`` of the object.
        plural: Name of the resource in the API.
        pod_label: The label that holds the object's UID on the pods that it is about; empty if pods name the object in
            their requests for attachments (``ipam-claim-reference``).
        parse: From the decoded object to its addresses and problems. It must not raise anything but
            `mnp_core.errors.InputError`, which drops the object (S6).
    """

    name: str
    group: str
    versions: tuple[str, ...]
    kind: str
    plural: str
    pod_label: str = ""
    parse: Callable[[Mapping[str, object]], tuple[AddressRecord, tuple[Report, ...]]]
