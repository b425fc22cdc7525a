"""Plugins that are broken on purpose: discoverers, locators, kinds of policy, sources of addresses.

See `broken_backends.py`.
"""

from contextlib import contextmanager
from pathlib import Path

from attrs import evolve

from mnp_core.api import Discovery, Sandbox
from mnp_core.errors import SandboxNotFoundError
from mnp_core.model import ANY_PEER, Link, RecordedInterface, parse_address
from mnp_core.sandbox.netns import identify
from tests.conformance_kit.sound import AddressSourceTests, Discoverer, DiscovererTests, LocatorTests, PolicyKindTests

MUST_FAIL = {}
"""Class to the check that must fail, what is wrong, and words of the failure."""


def broken(base, name, check, wrong, *, because="assert", **attributes):
    """Make a class that is right but for one thing."""
    made = type(f"Test{name}", (base,), {"__module__": __name__, "__doc__": wrong, **attributes})
    globals()[made.__name__] = made
    MUST_FAIL[made.__name__] = (check, wrong, because)


# --- discoverers --------------------------------------------------------------------------------------------------


def discoverer(name, check, wrong, discover, because="assert"):
    """A discoverer that spoils the right answer."""
    kind = type(name, (Discoverer,), {"discover": discover})
    broken(DiscovererTests, name, check, wrong, because=because, make_discoverer=lambda _: kind())


def spoilt(change):
    return lambda self, claim, links: change(Discoverer.discover(self, claim, links))


def attached(**changes):
    return spoilt(lambda found: evolve(found, attachment=evolve(found.attachment, **changes)))


def believing(self, claim, links):
    found = Discoverer.discover(self, claim, links)
    return evolve(found, attachment=claim)


def without(word):
    return spoilt(lambda found: evolve(found, mismatches=tuple(m for m in found.mismatches if word not in m)))


def by_mac(self, claim, links):
    names = [link.name for link in links if link.mac == claim.mac]
    return Discoverer.discover(self, evolve(claim, interface=(names or [claim.interface])[0]), links)


def first_veth(_self, claim, links):
    link = next((link for link in links if link.kind == "veth"), None)
    return Discovery(attachment=evolve(claim, mac=link.mac if link else ""))


def trusting(self, claim, links):
    known = {"": "hardware", "veth": "a veth"}
    kinds = [known[link.kind] for link in links]
    return Discoverer.discover(self, claim, links) if kinds else Discovery(attachment=claim, unenforceable="empty")


def expects_hardware(self, claim, links):
    found = Discoverer.discover(self, claim, [evolve(link, kind="veth") for link in links])
    odd = tuple(f"{link.kind} is no hardware" for link in links if link.name == claim.interface and link.kind)
    return evolve(found, mismatches=(*found.mismatches, *odd))


discoverer(
    "Wordy",
    "test_interface_as_claimed_has_no_mismatch",
    "always has something to say",
    spoilt(lambda found: evolve(found, mismatches=("all is well",))),
)
discoverer("OtherKind", "test_attachment_identity_stays", "calls the kind what the kernel does", attached(kind="other"))
discoverer("Believing", "test_addresses_and_mac_are_the_kernels", "believes what is claimed", believing)
discoverer("SilentOnIp", "test_other_addresses_are_said", "does not compare addresses", without("10.0.0.99"))
discoverer("SilentOnMac", "test_another_mac_is_said", "does not compare MAC addresses", without(":99"))
discoverer(
    "SilentlyOpen",
    "test_a_missing_interface_is_unenforceable",
    "says nothing of an interface that is not there",
    spoilt(lambda found: evolve(found, unenforceable="")),
)
discoverer("ByMac", "test_an_interface_of_another_name_is_not_taken_for_it", "finds interfaces by their MAC", by_mac)
discoverer("First", "test_the_answer_depends_on_the_links_alone", "takes the first veth that it meets", first_veth)
discoverer(
    "Trusting",
    "test_nothing_that_a_pod_or_a_user_writes_makes_it_fall['$(touch /tmp/x) `id`']",
    "knows all kinds that there can be",
    trusting,
    because="KeyError",
)
discoverer(
    "RawWords",
    "test_nothing_that_a_pod_or_a_user_writes_makes_it_fall['nul/x00byte']",
    "puts what it reads into its sentences as it is",
    lambda self, claim, links: evolve(
        Discoverer.discover(self, claim, links), mismatches=tuple(link.name for link in links)
    ),
)
broken(
    DiscovererTests,
    "OtherInTheKernel",
    "test_a_real_interface_is_as_claimed",
    "expects of the kernel what the kernel does not say",
    make_discoverer=lambda _: type("", (), {"discover": expects_hardware})(),
    link=lambda _: Link(name="net1", index=2, kind=""),
)


# --- locators -----------------------------------------------------------------------------------------------------


def locator(name, check, wrong, locate, because="assert"):
    """A locator that is given the right one, and a pod."""

    @contextmanager
    def located(self):
        with LocatorTests.located(self) as world:
            kind = type(name, (), {"locate": lambda _, pod: locate(world, pod)})
            yield evolve(world, locator=kind())

    broken(LocatorTests, name, check, wrong, because=because, located=located)


locator(
    "HostsOwn",
    "test_it_finds_the_pods_namespace",
    "finds the host's namespace",
    lambda _world, _pod: identify("/proc/self/ns/net"),
)
_asked = []


def every_other_time(world, pod):
    _asked.append(pod)
    found = world.locator.locate(pod)
    return evolve(found, inode=found.inode + len(_asked) % 2)


locator("EveryOtherTime", "test_it_finds_it_again", "finds something else every other time", every_other_time)


def from_memory(world, _pod):
    return world.sandbox


locator(
    "FromMemory",
    "test_a_sandbox_that_was_made_anew_is_noticed",
    "remembers where a pod was",
    from_memory,
)


def falling(world, pod):
    try:
        return world.locator.locate(pod)
    except SandboxNotFoundError:
        raise KeyError(pod.name) from None


locator("Falls", "test_a_pod_that_is_not_there_is_not_found", "falls over an unknown pod", falling, because="KeyError")


def by_path(world, pod):
    if pod.name == world.pod.name:
        return world.locator.locate(pod)
    path = Path("/run/nowhere", pod.name.name)
    return identify(str(path)) if path.is_absolute() else Sandbox(path="", device=0, inode=0)


locator(
    "ByPath",
    "test_hostile_names_lead_nowhere['/proc/self/ns/net']",
    "makes paths of names",
    by_path,
    because="DID NOT RAISE",
)

# --- kinds of policy ----------------------------------------------------------------------------------------------


def policy_kind(name, check, wrong, change, because="assert"):
    """A parser that spoils the right result."""

    def parse_it(self, raw):
        return change(raw, PolicyKindTests.parse_it(self, raw))

    broken(PolicyKindTests, name, check, wrong, because=because, parse_it=parse_it)


def version_one(raw, found):
    policy, reports = found
    return (policy if raw["apiVersion"].endswith("v1beta2") else evolve(policy, egress=None)), reports


def forgets_the_name(self, raw):
    metadata = raw.get("metadata")
    named = metadata if isinstance(metadata, dict) else {}
    return PolicyKindTests.parse_it(self, raw | {"metadata": named | {"name": str(named.get("name") or "x")}})


def pops(self, raw):
    raw.get("metadata", {}).pop("annotations", None)
    return PolicyKindTests.parse_it(self, raw)


def indexes(raw, found):
    assert "podSelector" in raw["spec"], "it is required"
    return found


def any_peer_for_junk(_raw, found):
    policy, reports = found
    rules = tuple(evolve(rule, peers=rule.peers or ANY_PEER) for rule in policy.ingress or ())
    return (policy if policy.ingress is None else evolve(policy, ingress=rules)), reports


def open_by_default(raw, found):
    policy, reports = found
    return (evolve(policy, ingress=None) if "ingress" not in (raw.get("spec") or {}) else policy), reports


policy_kind(
    "OtherName",
    "test_an_object_without_faults_is_understood",
    "gives policies the name of another kind",
    lambda _, found: (evolve(found[0], ref=evolve(found[0].ref, kind="Policy")), found[1]),
)
policy_kind("OneVersion", "test_every_served_version_is_understood", "understands the newest version", version_one)
broken(
    PolicyKindTests,
    "Pops",
    "test_parsing_leaves_the_object_as_it_was_and_forgets_it",
    "takes the object apart while it reads",
    parse_it=pops,
)
broken(
    PolicyKindTests,
    "NamesTheNameless",
    "test_an_object_without_a_name_is_dropped",
    "makes up names",
    because="DID NOT RAISE",
    parse_it=forgets_the_name,
)
policy_kind(
    "Indexes",
    "test_nothing_in_an_object_makes_it_fall",
    "takes for granted that everything is there",
    indexes,
    because="Failed: spec",
)
policy_kind("Silent", "test_malformed_policies_are_reported", "reports nothing", lambda _, found: (found[0], ()))
policy_kind(
    "JunkIsAnybody",
    "test_malformed_policies_never_allow_more",
    "takes peers that it does not understand for any peer",
    any_peer_for_junk,
)
policy_kind(
    "OpenByDefault",
    "test_an_empty_spec_isolates_ingress_and_allows_nothing",
    "isolates nothing where no rule is",
    open_by_default,
)

# --- sources of addresses -----------------------------------------------------------------------------------------


def address_source(name, check, wrong, change, because="assert"):
    """A parser that spoils the right result."""

    def parse_it(self, raw):
        return change(raw, AddressSourceTests.parse_it(self, raw))

    broken(AddressSourceTests, name, check, wrong, because=because, parse_it=parse_it)


def made_up(_raw, found):
    """The addresses of an entry with any name."""
    record, reports = found
    junk = record.interfaces or (RecordedInterface(addresses=(parse_address("10.66.6.6"),)),)
    return evolve(record, interfaces=junk), reports


def raw_addresses(raw, found):
    """Every address as it is written."""
    record, reports = found
    try:
        written = tuple(map(parse_address, raw["status"]["interfaces"][0]["ipAddresses"]))
        interfaces = (evolve(record.interfaces[0], addresses=written),)
    except (ValueError, LookupError, TypeError):
        return found
    return evolve(record, interfaces=interfaces), reports


def takes_metadata_for_granted(self, raw):
    return AddressSourceTests.parse_it(self, raw | {"metadata": {"name": "x", "uid": "1", "namespace": "demo"}})


def other_source(raw, found):
    assert isinstance(raw["status"]["interfaces"], list), "it is required"
    return found


address_source(
    "OtherRecord",
    "test_an_object_without_faults_is_understood",
    "gives records the name of another kind",
    lambda _, found: (evolve(found[0], ref=evolve(found[0].ref, kind="Machine")), found[1]),
)
broken(
    AddressSourceTests,
    "OneVersionOfMachines",
    "test_every_served_version_is_understood",
    "understands the older version",
    make_spec=lambda self: evolve(AddressSourceTests.make_spec(self), versions=("v2", "v1")),
    parse_it=lambda self, raw: AddressSourceTests.parse_it(
        self, raw if raw["apiVersion"].endswith("v1") else raw | {"status": {}}
    ),
)
broken(
    AddressSourceTests,
    "NamesTheNamelessMachine",
    "test_an_object_without_a_name_is_dropped",
    "makes up names",
    because="DID NOT RAISE",
    parse_it=takes_metadata_for_granted,
)
address_source(
    "MakesUpAddresses",
    "test_nothing_in_an_object_makes_it_fall_or_adds_an_address",
    "has an address for each object",
    made_up,
    because="are nobody's",
)
address_source(
    "IndexesMachines",
    "test_nothing_in_an_object_makes_it_fall_or_adds_an_address",
    "takes for granted that everything is there",
    other_source,
    because="Failed: status",
)
address_source(
    "BelievesAddresses",
    "test_an_address_that_no_pod_can_have_is_left_out_and_reported",
    "takes addresses as they are written",
    raw_addresses,
    because="counts",
)
address_source(
    "SilentMachines",
    "test_an_address_that_no_pod_can_have_is_left_out_and_reported",
    "reports nothing",
    lambda _, found: (found[0], ()),
    because="nobody is told",
)
