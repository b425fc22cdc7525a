"""Addresses for attachments, given out as the IPAM plugins would: host-local, whereabouts, static.

Pure: an allocation depends on the configuration and the taken addresses, and is the same on every run.
"""

from collections.abc import Container, Iterator
from ipaddress import ip_interface

from attrs import evolve

from mnp_core.classes import frozen
from mnp_core.model import Address, Cidr, parse_cidr
from mnp_core.offline.strict_field import AddressInterface, StrictField

IPAM_TYPES = frozenset({"host-local", "whereabouts", "static"})
"""Those that the lab can give addresses for."""

_GUESSED_PREFIX = {4: 24, 6: 64}  # for an address that lies in no subnet that the network names


@frozen(kw_only=True)
class Route:
    """A route that the IPAM configuration asks for; the gateway is known to be on the attachment's subnet."""

    destination: Cidr
    gateway: Address


@frozen(kw_only=True)
class Range:
    """Consecutive addresses of a subnet.

    Attributes:
        subnet: Where they lie.
        first: The first that may be given out.
        last: The last.
        gateway: Never given out; None if there is none.
        excluded: Blocks that are never given out.
    """

    subnet: Cidr
    first: Address
    last: Address
    gateway: Address | None = None
    excluded: tuple[Cidr, ...] = ()

    def free(self, taken: Container[Address]) -> Iterator[AddressInterface]:
        """Addresses that can be given out, lowest first."""
        make = type(self.first)
        for number in range(int(self.first), int(self.last) + 1):
            address = make(number)
            if self.gives(address) and address not in taken:
                yield with_prefix(address, self.subnet)

    def gives(self, address: Address) -> bool:
        """Say whether the address is one that may be given out."""
        return (
            address.version == self.subnet.version
            and int(self.first) <= int(address) <= int(self.last)
            and address != self.gateway
            and not any(address in block for block in self.excluded)
        )

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@frozen(kw_only=True)
class Ipam:
    """The ``ipam`` section of a network configuration.

    Attributes:
        source: The section, to complain about.
        ranges: An address out of each element is given to an attachment; the ranges of an element are tried in turn.
        fixed: Addresses that every attachment gets (static).
        routes: As they are written: destination and gateway, None for the range's own.
    """

    source: StrictField
    ranges: tuple[tuple[Range, ...], ...] = ()
    fixed: tuple[AddressInterface, ...] = ()
    routes: tuple[tuple[Cidr, Address | None], ...] = ()

    def allocate(self, taken: Container[Address], leased: tuple[AddressInterface, ...]) -> tuple[AddressInterface, ...]:
        """Addresses for one attachment.

        Args:
            taken: Addresses on this network that others have.
            leased: The previous addresses of the attachment; kept as far as they still fit.

        Raises:
            InputError: A range is used up.
        """
        return self.fixed + tuple(self._one(ranges, taken, leased) for ranges in self.ranges)

    def _one(
        self, ranges: tuple[Range, ...], taken: Container[Address], leased: tuple[AddressInterface, ...]
    ) -> AddressInterface:
        kept = (old for old in leased if old.ip not in taken and any(range_.gives(old.ip) for range_ in ranges))
        fresh = (address for range_ in ranges for address in range_.free(taken))
        address = next(kept, None) or next(fresh, None)
        if address is None:
            raise self.source.wrong(f"no address is left in {', '.join(map(str, ranges))}: widen the range")
        return address

    def complete(self, address: Address | AddressInterface) -> AddressInterface:
        """Find the prefix length of an address that was written without one."""
        if isinstance(address, AddressInterface):
            return address
        subnets = (range_.subnet for ranges in self.ranges for range_ in ranges)
        subnet = next((subnet for subnet in subnets if address in subnet), None)
        return with_prefix(address, subnet or parse_cidr(f"{address}/{_GUESSED_PREFIX[address.version]}"))

    @property
    def subnets(self) -> tuple[Cidr, ...]:
        """The subnets that its addresses are in."""
        return (*(address.network for address in self.fixed), *(each.subnet for some in self.ranges for each in some))

    def routes_for(self, addresses: tuple[AddressInterface, ...]) -> tuple[Route, ...]:
        """The routes of an attachment with these addresses; the gateway itself needs none.

        Raises:
            InputError: A gateway is not on a subnet of the attachment.
        """
        written = (self._route(*route, addresses) for route in self.routes if _same_family(route[0], addresses))
        own = {address.ip for address in addresses}
        return tuple(route for route in written if route.gateway not in own)

    def _route(self, destination: Cidr, gateway: Address | None, addresses: tuple[AddressInterface, ...]) -> Route:
        gateways = (range_.gateway for ranges in self.ranges for range_ in ranges)
        found = gateway or next((own for own in gateways if own and own.version == destination.version), None)
        if found is None or not any(found in address.network for address in addresses):
            raise self.source.wrong(f"the route to {destination} needs a gateway (gw) on the subnet of the attachment")
        return Route(destination=destination, gateway=found)


def parse_ipam(section: StrictField) -> Ipam:
    """Read the ``ipam`` section of a CNI configuration.

    Raises:
        InputError: It cannot be understood.
    """
    kind = section.child("type").text()
    ipam = Ipam(source=section, routes=tuple(_parse_route(route) for route in section.child("routes").elements()))
    match kind:
        case "":
            return ipam
        case "host-local":
            return evolve(ipam, ranges=tuple(_host_local(section)))
        case "whereabouts":
            return evolve(ipam, ranges=tuple(_whereabouts(section)))
        case "static":
            return evolve(ipam, fixed=tuple(_fixed(section)))
        case _:
            return Ipam(source=section)  # of a type that the lab does not know: it has no addresses to give


def with_prefix(address: Address, subnet: Cidr) -> AddressInterface:
    """The address as an interface on the subnet carries it."""
    return ip_interface(f"{address}/{subnet.prefixlen}")


def _same_family(destination: Cidr, addresses: tuple[AddressInterface, ...]) -> bool:
    return any(address.version == destination.version for address in addresses)


def _parse_route(route: StrictField) -> tuple[Cidr, Address | None]:
    return route.child("dst").cidr(), route.child("gw").address()


def _fixed(section: StrictField) -> Iterator[AddressInterface]:
    for entry in section.child("addresses").elements():
        address = entry.child("address").address_interface()
        if not isinstance(address, AddressInterface):
            raise entry.child("address").wrong("needs the length of its prefix, as in 10.0.0.5/24")
        yield address


def _host_local(section: StrictField) -> Iterator[tuple[Range, ...]]:
    """See the plugin's documentation: one set at the top level, then the sets of ``ranges``."""
    if "subnet" in section.mapping():
        yield (_host_local_range(section),)
    for alternatives in section.child("ranges").elements():
        ranges = tuple(_host_local_range(entry) for entry in alternatives.elements())
        if not ranges:
            raise alternatives.wrong("is empty: name a subnet")
        yield ranges


def _host_local_range(entry: StrictField) -> Range:
    subnet = entry.child("subnet").cidr()
    lowest, highest = _hosts(subnet)
    return _checked(
        entry,
        Range(
            subnet=subnet,
            first=entry.child("rangeStart").address() or lowest,
            last=entry.child("rangeEnd").address() or highest,
            gateway=entry.child("gateway").address() or lowest,  # reserved even if unused
        ),
    )


def _whereabouts(section: StrictField) -> Iterator[tuple[Range, ...]]:
    if "range" in section.mapping():
        yield (_whereabouts_range(section),)
    for entry in section.child("ipRanges").elements():
        yield (_whereabouts_range(entry),)


def _whereabouts_range(entry: StrictField) -> Range:
    """``range`` is a subnet, or ``first-last/length``."""
    first, dash, rest = entry.child("range").text().partition("-")
    subnet = evolve(entry.child("range"), value=rest if dash else first).cidr()
    lowest, highest = _hosts(subnet)
    written = evolve(entry.child("range"), value=first).address() if dash else None
    end = evolve(entry.child("range"), value=rest.partition("/")[0]).address() if dash else None
    return _checked(
        entry,
        Range(
            subnet=subnet,
            first=entry.child("range_start").address() or written or lowest,
            last=entry.child("range_end").address() or end or highest,
            gateway=entry.child("gateway").address(),
            excluded=tuple(block.cidr() for block in entry.child("exclude").elements()),
        ),
    )


def _hosts(subnet: Cidr) -> tuple[Address, Address]:
    """First and last address that a host may have: neither the network's own nor the broadcast address."""
    spare = 1 if subnet.num_addresses > 2 else 0
    last = subnet[-1 - spare] if subnet.version == 4 else subnet[-1]
    return subnet[spare], last


def _checked(entry: StrictField, range_: Range) -> Range:
    if not (range_.first in range_.subnet and range_.last in range_.subnet and int(range_.first) <= int(range_.last)):
        raise entry.wrong(f"the range {range_} is not a part of the subnet {range_.subnet}")
    return range_
