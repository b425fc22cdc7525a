"""What all plugins offer of one kind, and a good answer to a question for what is not there."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from mnp_core.errors import PluginError
from mnp_core.plugins._descriptors import Claim, D, claims, name_claim
from mnp_core.plugins._faults import RefusalError, contained
from mnp_core.plugins._module import Offer
from mnp_core.plugins._status import PluginStatus, State

T = TypeVar("T")

HOMES = {
    "nftables": "mnp-nftables",
    "iptables": "mnp-iptables",
    "iptables-legacy": "mnp-iptables",
    "iptables-nft": "mnp-iptables",
}
"""Where this project's backends come from, for whoever has configured one that is not installed."""

COMMAND_DISTRIBUTIONS = {"lab": "mnp-lab"}
"""Likewise its commands."""

Contested = Mapping[Claim, tuple[Offer[Any], ...]]


def find_contested(offers: Iterable[Offer[Any]]) -> Contested:
    """Everything that more than one offer claims."""
    holders = defaultdict(list)
    for offer in offers:
        for claim in claims(offer.descriptor):
            holders[claim].append(offer)
    return {claim: tuple(rivals) for claim, rivals in holders.items() if len(rivals) > 1}


def conflict_of(offer: Offer[Any], contested: Contested) -> str:
    """Say what the offer cannot have for itself alone, and who else claims it; empty if there is nothing."""
    return "; ".join(
        f"{claim} is claimed by {' and by '.join(str(rival.plugin) for rival in contested[claim])}"
        for claim in claims(offer.descriptor)
        if claim in contested
    )


class Catalog(Mapping[str, D]):
    """The descriptors of one kind that can be used, by name.

    As a mapping it holds what can be used; `find` also explains why something cannot.
    """

    def __init__(
        self, kind: type[D], offers: Iterable[Offer[D]], contested: Contested, statuses: Sequence[PluginStatus]
    ) -> None:
        self._kind = kind
        self._contested = contested
        self._statuses = statuses
        self._offers = {claim: offer for offer in offers for claim in claims(offer.descriptor)}
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
        """Everything of one sort that is claimed, by whom ever, contested or not: CNI types, dialects."""
        return frozenset(claim.value for claim in self._offers if claim.what == what)

    def require(self, name: str) -> D:
        """The descriptor of that name.

        Raises:
            PluginError: There is none, or its plugin is broken, or two claim the name; with the remedy.
        """
        return self.find(name_claim(self._kind, name)).descriptor

    def find(self, claim: Claim) -> Offer[D]:
        """Who holds the claim.

        Raises:
            PluginError: As above.
        """
        offer = self._offers.get(claim)
        if offer is None:
            raise PluginError(self._why_missing(claim))
        if conflict := conflict_of(offer, self._contested):
            raise PluginError(f"{claim} cannot be used: {conflict}. Uninstall or disable all but one of them.")
        return offer

    def _why_missing(self, claim: Claim) -> str:
        known = sorted(self.values_claimed(claim.what))
        text = f"there is no {claim}, " + (f"installed are {', '.join(known)}." if known else "and no other either.")
        home = HOMES.get(claim.value)
        broken = [status for status in self._statuses if status.state is not State.LOADED]
        names = {claim.value, home}
        suspects = [status for status in broken if names & {status.name, *_words(status.distribution)}]
        if home and not suspects:
            text += f" It comes with {home}: pip install {home}."
        elif near := get_close_matches(claim.value, known, n=1):
            text += f" Is {near[0]!r} meant?"
        elif not suspects:
            text += " `mnp plugins` lists those of this project that can be added."
        return " ".join([text, *map(str, suspects or broken)])


def _words(distribution: str) -> tuple[str, ...]:
    return distribution, distribution.removeprefix("mnp-")


def make(offer: Offer[D], build: Callable[[D], T], expected: type) -> T:
    """Call a factory, and check that it made what its descriptor promises.

    Args:
        offer: Whose factory it is.
        build: Calls it.
        expected: A class, or a Protocol whose methods the result must have.

    Raises:
        PluginError: The factory failed, or made something else.
    """
    try:
        with contained("its factory failed"):
            made = build(offer.descriptor)
            _check_made(made, expected)
    except RefusalError as refusal:
        remedy = f"Mend it, or try `pip install --upgrade {offer.plugin.distribution}`."
        raise PluginError(f"{offer} cannot be used: {refusal}. {remedy}") from refusal
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
        raise RefusalError(f"its factory must make a {expected.__name__}, but {made!r:.80}{lacks}")
