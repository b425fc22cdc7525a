"""Tally of summaries by policy, kept up to date: a summary costs its difference to the one before.

Knowledge is compared by fingerprint. The tally numbers the states of the policies as it sees them; a node whose
fingerprint is that of state 7 knows every policy that has not changed since. A node of which no state is known has
confirmed nothing beyond its entries. Knowledge never shrinks: a fingerprint between two states changes nothing.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import Final

from attrs import field

from mnp_core.classes import define, frozen
from mnp_core.conditions.summary import NodeSummary, PolicyFault, State
from mnp_core.model import ObjectName
from mnp_core.model.change import MODULUS

_KEPT_STATES: Final = 4096  # of the policies, by fingerprint
_SHOWN_FAILURES: Final = 5

Failing = tuple[str, PolicyFault]
"""A node, and its fault."""


@frozen(kw_only=True)
class PolicyCount:
    """The state of one policy on all nodes.

    Attributes:
        enforced: Nodes with selected interfaces on which it is in force.
        pending: Those on which that is under way.
        failed: Those on which it failed.
        silent: Those that have not renewed their summary for some time; not among the others.
        unseen: Nodes that have not confirmed to know it, or its present contents.
        interfaces: Selected interfaces on all nodes.
        failures: The first failing nodes, by name.
        nodes: All nodes that publish summaries.
    """

    enforced: int
    pending: int
    failed: int
    silent: int
    unseen: int
    interfaces: int
    failures: tuple[Failing, ...]
    nodes: int


@define
class _Node:
    summary: NodeSummary
    heard_at: float
    state: int = 0  # of the policies, that it knows; 0 for none
    silent: bool = False


@define
class _Sums:
    """Of one token."""

    enforced: int = 0
    silent: int = 0
    interfaces: int = 0
    faults: dict[str, PolicyFault] = field(factory=dict)


class Tally:
    """Policies and summaries. Not thread-safe."""

    def __init__(self) -> None:
        self._tokens: dict[ObjectName, int] = {}
        self._names: dict[int, ObjectName] = {}
        self._changed_at: OrderedDict[ObjectName, int] = OrderedDict()  # by the number of the state, ascending
        self._fingerprint, self._state = 0, 1
        self._states: OrderedDict[int, int] = OrderedDict({0: 1})  # by fingerprint
        self._nodes: dict[str, _Node] = {}
        self._knowing: defaultdict[int, set[str]] = defaultdict(set)  # nodes by fingerprint
        self._in_state: defaultdict[int, set[str]] = defaultdict(set)
        self._sums: defaultdict[int, _Sums] = defaultdict(_Sums)
        self._dirty: set[ObjectName] = set()

    # --- input ----------------------------------------------------------------------------------------------------

    def put_policy(self, name: ObjectName, token: int | None) -> None:
        """Replace a policy; None removes it."""
        before = self._tokens.pop(name, None)
        self._dirty.add(name)
        if before == token:
            if token is not None:
                self._tokens[name] = token
            return
        if before is not None:
            self._names.pop(before, None)
            del self._changed_at[name]
        self._state += 1
        if token is not None:
            self._tokens[name], self._names[token] = token, name
            self._changed_at[name] = self._state
        self._fingerprint = (self._fingerprint - (before or 0) + (token or 0)) % MODULUS
        self._states[self._fingerprint] = self._state
        self._states.move_to_end(self._fingerprint)
        if len(self._states) > _KEPT_STATES:
            self._states.popitem(last=False)
        for node in tuple(self._knowing.get(self._fingerprint, ())):
            self._advance(node, self._state)

    def put_summary(self, node: str, summary: NodeSummary | None, now: float) -> None:
        """Replace a node's summary; None removes the node."""
        known = self._nodes.get(node)
        if known is not None and known.silent:
            self._shift(known, silent=False)
        self._recount(node, known.summary if known else None, summary)
        if known is not None:
            self._discard(self._knowing, known.summary.knows, node)
        if summary is None:
            if known is not None:
                self._discard(self._in_state, known.state, node)
                del self._nodes[node]
                self._dirty.update(self._tokens)
            return
        if known is None:
            known = self._nodes[node] = _Node(summary, now)
            self._in_state[0].add(node)
            self._dirty.update(self._tokens)
        known.summary, known.heard_at = summary, now
        self._knowing[summary.knows].add(node)
        if not summary.omitted:
            self._advance(node, self._states.get(summary.knows, 0))

    def expire(self, now: float, *, silent_after: float, lost_after: float) -> list[str]:
        """Mark nodes without news as silent, and remove lost ones; returns the latter."""
        lost = []
        for name, node in tuple(self._nodes.items()):
            age = now - node.heard_at
            if age >= lost_after:
                self.put_summary(name, None, now)
                lost.append(name)
            elif age >= silent_after and not node.silent:
                self._shift(node, silent=True)
        return lost

    # --- output ---------------------------------------------------------------------------------------------------

    def take_changed(self) -> set[ObjectName]:
        """Policies whose count may have changed since the last call, removed ones among them."""
        changed, self._dirty = self._dirty, set()
        return changed

    def count(self, name: ObjectName) -> PolicyCount | None:
        """The state of a policy on all nodes; None if there is no such policy."""
        token = self._tokens.get(name)
        if token is None:
            return None
        sums = self._sums.get(token) or _Sums()
        heard = [each for each in sums.faults.items() if not self._nodes[each[0]].silent]
        unseen = [self._nodes[node].silent for node in self._unseen(name, token)]
        failing = [each for each in heard if each[1].state is State.FAILED]
        return PolicyCount(
            enforced=sums.enforced,
            pending=len(heard) - len(failing),
            failed=len(failing),
            silent=sums.silent + len(sums.faults) - len(heard) + sum(unseen),
            unseen=len(unseen) - sum(unseen),
            interfaces=sums.interfaces,
            failures=tuple(islice(sorted(failing, key=lambda each: each[0]), _SHOWN_FAILURES)),
            nodes=len(self._nodes),
        )

    @property
    def behind(self) -> int:
        """The number of nodes of which no state of the policies is known."""
        return len(self._in_state.get(0, ()))

    @property
    def nodes(self) -> int:
        """The number of nodes with a summary."""
        return len(self._nodes)

    def _unseen(self, name: ObjectName, token: int) -> Iterator[str]:
        changed_at = self._changed_at[name]
        for state, nodes in self._in_state.items():
            if state < changed_at:
                for node in nodes:
                    summary = self._nodes[node].summary
                    if token not in summary.enforced and token not in summary.faults:
                        yield node

    # --- sums -----------------------------------------------------------------------------------------------------

    def _recount(self, node: str, before: NodeSummary | None, after: NodeSummary | None) -> None:
        old, new = (before.enforced if before else {}), (after.enforced if after else {})
        for token, number in new.items() - old.items():
            self._add(token, 1, number)
        for token, number in old.items() - new.items():
            self._add(token, -1, -number)
        for token, fault in (before.faults if before else {}).items():
            del self._sums[token].faults[node]
            self._add(token, 0, -fault.interfaces)
        for token, fault in (after.faults if after else {}).items():
            self._sums[token].faults[node] = fault
            self._add(token, 0, fault.interfaces)

    def _add(self, token: int, nodes: int, interfaces: int) -> None:
        sums = self._sums[token]
        sums.enforced += nodes
        sums.interfaces += interfaces
        self._touch(token, sums)

    def _touch(self, token: int, sums: _Sums) -> None:
        if (name := self._names.get(token)) is not None:
            self._dirty.add(name)
        if not (sums.enforced or sums.silent or sums.interfaces or sums.faults):
            self._sums.pop(token, None)

    def _shift(self, node: _Node, *, silent: bool) -> None:
        """Count a node's policies as silent, or no longer."""
        node.silent = silent
        by = 1 if silent else -1
        for token in node.summary.enforced:
            sums = self._sums[token]
            sums.enforced -= by
            sums.silent += by
            self._touch(token, sums)
        for token in node.summary.faults:
            self._touch(token, self._sums[token])
        self._touch_since(node.state)

    # --- knowledge ------------------------------------------------------------------------------------------------

    def _advance(self, name: str, state: int) -> None:
        node = self._nodes[name]
        if state <= node.state or node.summary.omitted:
            return
        self._discard(self._in_state, node.state, name)
        self._touch_since(node.state)
        self._in_state[state].add(name)
        node.state = state

    def _touch_since(self, state: int) -> None:
        """Policies that have changed since a state have another count."""
        for policy, changed_at in reversed(self._changed_at.items()):
            if changed_at <= state:
                break
            self._dirty.add(policy)

    @staticmethod
    def _discard(index: defaultdict[int, set[str]], key: int, node: str) -> None:
        index[key].discard(node)
        if not index[key]:
            del index[key]
