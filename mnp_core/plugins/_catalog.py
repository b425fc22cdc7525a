"""All offers of one kind, and a helpful error for a missing one."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from mnp_core.errors import PluginError
from mnp_core.plugins._descriptors import D, ExclusiveName, exclusive_name, exclusive_names
from mnp_core.plugins._faults import InvalidPluginError, guarded
from mnp_core.plugins._module import Offer
from mnp_core.plugins._status import PluginStatus, State

T = TypeVar("T")

BACKEND_DISTRIBUTIONS = {
    "nftables": "mnp-nftables",
    "iptables": "mnp-iptables",
    "iptables-legacy": "mnp-iptables",
    "iptables-nft": "mnp-iptables",
    "ebpf": "mnp-ebpf",
}
"""Distributions of this project's backends, for the error about one that is not installed."""

COMMAND_DISTRIBUTIONS = {"lab": "mnp-lab"}
"""Likewise its commands."""

Contested = Mapping[ExclusiveName, tuple[Offer[Any], ...]]


def find_contested(offers: Iterable[Offer[Any]]) -> Contested:
    """Everything that more than one offer claims."""
    holders = defaultdict(list)
    for offer in offers:
        for key in exclusive_names(offer.descriptor):
            holders[key].append(offer)
    return {key: tuple(rivals) for key, rivals in holders.items() if len(rivals) > 1}


def conflict_of(offer: Offer[Any], contested: Contested) -> str:
    """The contested exclusive names of the offer, with their other claimants; empty if there are none."""
    return "; ".join(
        f"{key} is claimed by {' and by '.join(str(rival.plugin) for rival in contested[key])}"
        for key in exclusive_names(offer.descriptor)
        if key in contested
    )


class Catalog(Mapping[str, D]):
    """The descriptors of one kind that can be used, by name.

    As a mapping it holds the usable ones; `find` also explains why another is not.
    """

    def __init__(
        self, kind: type[D], offers: Iterable[Offer[D]], contested: Contested, statuses: Sequence[PluginStatus]
    ) -> None:
        self._kind = kind
        self._contested = contested
        self._statuses = statuses
        self._offers = {key: offer for offer in offers for key in exclusive_names(offer.descriptor)}
        self._usable = {
            offer.descriptor.name: offer.descriptor
            for offer in self._offers.values()
            if not conflict_of(offer, contested)
        }

    def __getitem__(self, name: str) -> D:
        return self._usable[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._usable)

    def __len__(self) -> int:
        return len(self._usable)

    def values_claimed(self, what: str) -> frozenset[str]:
        """All claimed names of one sort, contested or not: CNI types, dialects."""
        return frozenset(key.value for key in self._offers if key.what == what)

    def require(self, name: str) -> D:
        """The descriptor of that name.

        Raises:
            PluginError: There is none, or its plugin is broken, or two claim the name; with the remedy.
        """
        return self.find(exclusive_name(self._kind, name)).descriptor

    def find(self, key: ExclusiveName) -> Offer[D]:
        """The offer that holds a name.

        Raises:
            PluginError: As above.
        """
        offer = self._offers.get(key)
        if offer is None:
            raise PluginError(self._why_missing(key))
        if conflict := conflict_of(offer, self._contested):
            raise PluginError(f"{key} cannot be used: {conflict}. Uninstall or disable all but one of them.")
        return offer

    def _why_missing(self, key: ExclusiveName) -> str:
        known = sorted(self.values_claimed(key.what))
        text = f"there is no {key}, " + (f"installed are {', '.join(known)}." if known else "and no other either.")
        home = BACKEND_DISTRIBUTIONS.get(key.value)
        broken = [status for status in self._statuses if status.state is not State.LOADED]
        names = {key.value, home}
        suspects = [status for status in broken if names & {status.name, *_words(status.distribution)}]
        if home and not suspects:
            text += f" It comes with {home}: pip install {home}."
        elif near := get_close_matches(key.value, known, n=1):
            text += f" Is {near[0]!r} meant?"
        elif not suspects:
            text += " `mnp plugins` lists those of this project that can be added."
        return " ".join([text, *map(str, suspects or broken)])


def _words(distribution: str) -> tuple[str, ...]:
    return distribution, distribution.removeprefix("mnp-")


def make(offer: Offer[D], build: Callable[[D], T], expected: type) -> T:
    """Call a factory, and check its product against its descriptor.

    Args:
        offer: Whose factory it is.
        build: Calls it.
        expected: A class, or a Protocol whose methods the result must have.

    Raises:
        PluginError: The factory failed, or made something else.
    """
    try:
        with guarded("its factory failed"):
            made = build(offer.descriptor)
            _check_made(made, expected)
    except InvalidPluginError as error:
        remedy = f"Fix it, or try `pip install --upgrade {offer.plugin.distribution}`."
        raise PluginError(f"{offer} cannot be used: {error}. {remedy}") from error
    return made


def _check_made(made: object, expected: type) -> None:
    """Protocols are checked by the methods they name; signatures are mypy's concern."""
    if getattr(expected, "_is_protocol", False):
        methods = [name for name, value in vars(expected).items() if callable(value) and not name.startswith("_")]
        lacking = [name for name in methods if not callable(getattr(made, name, None))]
        lacks = f" has no {', '.join(lacking)}" if lacking else ""
    else:
        lacks = "" if isinstance(made, expected) else " is none"
    if lacks:
        raise InvalidPluginError(f"its factory must make a {expected.__name__}, but {made!r:.80}{lacks}")
