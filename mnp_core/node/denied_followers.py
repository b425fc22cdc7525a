"""The last denied packets of each pod, and those who follow: bounded, so that slow readers cost nobody anything."""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any, Final

from mnp_core.errors import InputError, UnsupportedError
from mnp_core.model import ObjectName
from mnp_core.node.status.protocol import Answers, RequestKind
from mnp_core.node.status.selection import SELECTION, Selection, parse_selection
from mnp_core.telemetry.denied_packet import DeniedPacket, as_record

_KEPT: Final = 50  # packets of a pod
_MOST_PODS: Final = 500  # of which packets are kept: those with the last ones
_WAITING: Final = 1000  # packets for one follower
_BEAT_SECONDS: Final = 1.0
_SINCE: Final = "since-seconds"

_OFF: Final = "denied packets are not logged on this node: set log-denied to all or annotated in the agent's settings"


class _Follower:
    """The packets that one client has not read yet; the oldest go first when there are too many."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self._packets: deque[DeniedPacket] = deque()
        self._missed = 0
        self._changed = threading.Condition()

    def put(self, packet: DeniedPacket) -> None:
        with self._changed:
            if len(self._packets) >= _WAITING:
                self._packets.popleft()
                self._missed += 1
            self._packets.append(packet)
            self._changed.notify()

    def take(self) -> tuple[list[DeniedPacket], int]:
        """Wait a while for packets; returns them, and how many were left out before."""
        with self._changed:
            self._changed.wait_for(lambda: self._packets, _BEAT_SECONDS)
            packets, missed = list(self._packets), self._missed
            self._packets.clear()
            self._missed = 0
            return packets, missed


class DeniedFollowers:
    """Thread safe."""

    def __init__(self, *, is_on: bool) -> None:
        """Begin without packets.

        Args:
            is_on: Whether the node logs denied packets at all.
        """
        self._is_on = is_on
        self._lock = threading.Lock()
        self._recent: OrderedDict[ObjectName, deque[DeniedPacket]] = OrderedDict()
        self._followers: set[_Follower] = set()

    def kinds(self) -> dict[str, RequestKind]:
        """The requests of the agent's socket, by name."""
        return {
            "denied": RequestKind(answer=self.recent),
            "denied-follow": RequestKind(answer=self.follow, endless=True),
        }

    def put(self, packet: DeniedPacket) -> None:
        """Keep a packet, and pass it on."""
        with self._lock:
            kept = self._recent.pop(packet.pod, None)
            if kept is None:
                kept = deque(maxlen=_KEPT)
            kept.append(packet)
            self._recent[packet.pod] = kept
            if len(self._recent) > _MOST_PODS:
                self._recent.popitem(last=False)
            followers = tuple(self._followers)
        for follower in followers:
            if _is_selected(follower.selection, packet):
                follower.put(packet)

    def recent(self, arguments: Mapping[str, Any]) -> Answers:
        """`{"packet": …}` for each of the last packets, by time.

        Raises:
            InputError: An argument is of no use.
            UnsupportedError: The node logs none.
        """
        selection, seconds = self._selection(arguments), _since(arguments)
        with self._lock:
            kept = self._kept(selection, math.inf if seconds is None else seconds)
        for packet in kept:
            yield {"packet": as_record(packet)}

    def follow(self, arguments: Mapping[str, Any]) -> Answers:
        """Likewise of each packet from now on, and `{"missed": …}` where the reader was too slow."""
        selection, seconds = self._selection(arguments), _since(arguments)
        follower = _Follower(selection)
        with self._lock:  # no packet is in both, and none in neither
            for packet in self._kept(selection, seconds or 0.0):
                follower.put(packet)
            self._followers.add(follower)
        try:
            yield None
            while True:
                packets, missed = follower.take()
                if missed:
                    yield {"missed": missed}
                for packet in packets:
                    yield {"packet": as_record(packet)}
                if not packets:
                    yield None
        finally:
            with self._lock:
                self._followers.discard(follower)

    def _selection(self, arguments: Mapping[str, Any]) -> Selection:
        selection = parse_selection(arguments, SELECTION | {_SINCE})
        if not self._is_on:
            raise UnsupportedError(_OFF)
        return selection

    def _kept(self, selection: Selection, seconds: float) -> list[DeniedPacket]:
        """Those of the last seconds, by time. With the lock."""
        earliest = time.time() - seconds
        kept = (packet for packets in self._recent.values() for packet in packets if packet.time >= earliest)
        return sorted((each for each in kept if _is_selected(selection, each)), key=lambda packet: packet.time)


def _since(arguments: Mapping[str, Any]) -> float | None:
    """The seconds that kept packets may be old; None if the request names none."""
    value = arguments.get(_SINCE)
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf
    ):
        raise InputError("must be a number of seconds", where="request", field=_SINCE)
    return value


def _is_selected(selection: Selection, packet: DeniedPacket) -> bool:
    return selection.has(packet.pod) and (not selection.networks or not selection.networks.isdisjoint(packet.networks))
