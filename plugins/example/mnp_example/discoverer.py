"""Attachments that an imaginary CNI plugin makes: one end of a veth pair."""

from collections.abc import Sequence

from mnp_core.api import Discovery
from mnp_core.discovery import compare
from mnp_core.model import Attachment, Link

CNI_TYPE = "example"


class ExampleDiscoverer:
    """An `mnp_core.api.InterfaceDiscoverer`."""

    def discover(self, claim: Attachment, links: Sequence[Link]) -> Discovery:
        """Find the interface by its name; report differences from the claim."""
        return compare(claim, links, kinds={"veth"})
