"""The duties of every discoverer: compare claims with links, and survive all of either."""

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from itertools import permutations

import pytest
from attrs import evolve

from mnp_core.api import Discovery, InterfaceDiscoverer, Sandbox
from mnp_core.model import Attachment, Link, ObjectName
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.conformance.base import Conformance, missing_hook, shown
from mnp_core.testing.corpus import HOSTILE_INTERFACES, HOSTILE_TEXTS

_LOOPBACK = Link(name="lo", index=1, addresses=(ip_address("127.0.0.1"), ip_address("::1")))
_DEFAULT = Link(name="eth0", index=2, kind="veth", mac="02:00:00:00:00:e0", addresses=(ip_address("172.16.0.9"),))
_ADDRESSES = (ip_address("10.0.0.1"), ip_address("fd00::1"))
_LONGEST = 1000  # characters of a sentence in an Event


class InterfaceDiscovererConformance(Conformance, standard=True):
    """For an `mnp_core.api.InterfaceDiscoverer`."""

    def make_discoverer(self) -> InterfaceDiscoverer:
        """Make the discoverer: define this."""
        raise missing_hook(self, "make_discoverer")

    def cni_type(self) -> str:
        """One of the CNI types that it claims: define this."""
        raise missing_hook(self, "cni_type")

    def link(self) -> Link:
        """An interface as the CNI plugin makes it, seen in the pod: define this.

        Give it a name, and its `kind`, `mode` and `device` as far as it has them. Addresses and, if it has none, a MAC
        address are added.
        """
        raise missing_hook(self, "link")

    def attach(self, node: Sandbox, pod: Sandbox, interface: str, addresses: tuple[str, ...]) -> None:
        """Make such an interface in a pod, up: define this, for example with `mnp_core.testing.netns`.

        Args:
            node: A namespace for the node's side.
            pod: The pod.
            interface: Its name in the pod.
            addresses: As in ``10.0.0.1/24``.
        """
        raise missing_hook(self, f"attach, for {interface} of {pod.path} with {addresses}, from {node.path}")

    # --- helpers --------------------------------------------------------------------------------------------------

    def real(self) -> Link:
        """The link with addresses and a MAC address."""
        link = self.link()
        return evolve(link, index=7, mac=link.mac or "02:00:00:00:00:0a", addresses=_ADDRESSES)

    def claim(self) -> Attachment:
        """Its claim, as in a correct network-status."""
        link = self.real()
        return Attachment(
            pod=ObjectName("default", "pod"),
            network=ObjectName("default", "net"),
            interface=link.name,
            addresses=link.addresses,
            kind=self.cni_type(),
            mac=link.mac,
            device=link.device,
        )

    def discover(self, claim: Attachment, *links: Link) -> Discovery:
        """Ask, in a pod that has these links beside lo and eth0."""
        return self.make_discoverer().discover(claim, (_LOOPBACK, _DEFAULT, *links))

    # --- existing links -------------------------------------------------------------------------------------------

    def test_interface_as_claimed_has_no_mismatch(self) -> None:
        """S3: nothing to report."""
        found = self.discover(self.claim(), self.real())
        assert (found.unenforceable, found.mismatches) == ("", ())

    def test_attachment_identity_stays(self) -> None:
        """S10: pod, network, interface and kind are the claim's."""
        claim, found = self.claim(), self.discover(self.claim(), self.real()).attachment
        same = (found.pod, found.network, found.interface, found.kind)
        assert same == (claim.pod, claim.network, claim.interface, claim.kind)

    def test_addresses_and_mac_are_the_kernels(self) -> None:
        """S3: network-status may be out of date."""
        wrong = evolve(self.claim(), addresses=(ip_address("10.0.0.99"),), mac="02:00:00:00:00:99")
        found = self.discover(wrong, self.real())
        assert set(found.attachment.addresses) == set(_ADDRESSES)
        assert found.attachment.mac == self.real().mac

    def test_other_addresses_are_said(self) -> None:
        """S3: a policy that selects the pod as a peer means the addresses in network-status."""
        wrong = evolve(self.claim(), addresses=(ip_address("10.0.0.99"),))
        assert "10.0.0.99" in " ".join(self.discover(wrong, self.real()).mismatches)

    def test_another_mac_is_said(self) -> None:
        """S3."""
        wrong = evolve(self.claim(), mac="02:00:00:00:00:99")
        assert "02:00:00:00:00:99" in " ".join(self.discover(wrong, self.real()).mismatches)

    # --- missing links --------------------------------------------------------------------------------------------

    def test_a_missing_interface_is_unenforceable(self) -> None:
        """S64: never silently open; the claim stays as it came."""
        found = self.discover(self.claim())
        assert found.unenforceable
        assert found.attachment == self.claim()

    def test_an_interface_of_another_name_is_not_taken_for_it(self) -> None:
        """S10, S64: rules are by name."""
        assert self.discover(self.claim(), evolve(self.real(), name="renamed")).unenforceable

    # --- purity, hostility ----------------------------------------------------------------------------------------

    def test_the_answer_depends_on_the_links_alone(self) -> None:
        """A second time, and with links in another order."""
        links, discoverer = (_LOOPBACK, _DEFAULT, self.real()), self.make_discoverer()
        found = [discoverer.discover(self.claim(), order) for order in (*permutations(links), links)]
        assert [each for each in found if each != found[0]] == []

    @pytest.mark.parametrize("text", [*HOSTILE_TEXTS, *HOSTILE_INTERFACES], ids=shown)
    def test_nothing_that_a_pod_or_a_user_writes_makes_it_fall(self, text: str) -> None:
        """S6, S64: claims come from users, links from processes in the pod. Sentences stay short."""
        claim, link = self.claim(), self.real()
        hostile = Link(name=text, index=-1, kind=text, mac=text, mode=text, device=text, master=99)
        claims = (claim, evolve(claim, interface=text, mac=text, device=text, kind=text, addresses=()))
        pods: Sequence[tuple[Link, ...]] = ((), (hostile,), (link, hostile), (evolve(link, mac=text, kind=text),))
        for found in (self.make_discoverer().discover(each, links) for each in claims for links in pods):
            for sentence in (found.unenforceable, *found.mismatches):
                assert len(sentence) < _LONGEST
                assert sentence.isprintable()

    # --- the kernel -----------------------------------------------------------------------------------------------

    @pytest.mark.root
    def test_a_real_interface_is_as_claimed(self, mnp_namespaces: Callable[[], Sandbox]) -> None:
        """S3: made as the CNI plugin does, and read from the kernel."""
        node, pod = mnp_namespaces(), mnp_namespaces()
        self.attach(node, pod, "net1", ("10.0.0.1/24", "fd00::1/64"))
        links = run_inside(pod, read_links)
        (link,) = (link for link in links if link.name == "net1")
        claim = evolve(self.claim(), interface="net1", mac=link.mac, device=link.device)
        found = self.make_discoverer().discover(claim, links)
        assert (found.unenforceable, found.mismatches) == ("", ())
        assert set(found.attachment.addresses) == set(_ADDRESSES)
