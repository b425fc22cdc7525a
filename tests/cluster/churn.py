"""Policies and labels that change all the time, without a difference to the flows of a `FourPods`."""

import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random
from types import TracebackType
from typing import Self

from tests.cluster.fleet import on_network
from tests.cluster.four_pods import FourPods

GUESTS = 10
_PAUSE = 0.02  # seconds between two changes
_NODE = "churn"


class Churn:
    """Changes for the length of a block; `changes` counts them."""

    def __init__(self, four_pods: FourPods, chance: Random, *, policies: bool = True) -> None:
        """Change nothing yet.

        Args:
            four_pods: The pods and policies to change.
            chance: Source of the choices.
            policies: Whether policies change besides labels.
        """
        self._policies = policies
        self._four_pods, self._chance = four_pods, chance
        self._main, self._beside = four_pods.main_policies(), four_pods.side_policies()
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1, "churn")
        self.changes = 0

    def __enter__(self) -> Self:
        """Begin: the main policy is there from now on."""
        fleet, four_pods = self._four_pods.bed.fleet, self._four_pods
        four_pods.apply(self._main[0])
        fleet.fake_pods(GUESTS, fleet.node(_NODE), four_pods.namespace, on_network(four_pods.network, "10.77.41.0/24"))
        self._running = self._thread.submit(self._run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, with the main policy in its first form and no other."""
        self._stop.set()
        try:
            self._running.result(timeout=60)
        finally:
            self._thread.shutdown()
            self._settle()

    def _run(self) -> None:
        shapes = (self._turn_policy, self._change_company) if self._policies else ()
        ways = (*shapes, self._relabel, self._relabel)
        while not self._stop.wait(_PAUSE):
            self._chance.choice(ways)()
            self.changes += 1

    def _turn_policy(self) -> None:
        self._four_pods.apply(self._chance.choice(self._main))

    def _change_company(self) -> None:
        policy = self._chance.choice(self._beside)
        if self._chance.random() < 0.5:
            self._four_pods.apply(policy)
        else:
            self._four_pods.remove(policy["metadata"]["name"])

    def _relabel(self) -> None:
        guest = f"fleet-{self._chance.randrange(GUESTS)}"
        labels = {"app": self._chance.choice(("friend", "guest", "nobody"))}
        self._four_pods.objects.patch("v1/Pod", guest, {"metadata": {"labels": labels}}, self._four_pods.namespace)

    def _settle(self) -> None:
        four_pods = self._four_pods
        four_pods.apply(self._main[0])
        four_pods.remove(*(policy["metadata"]["name"] for policy in self._beside))
        for number in range(GUESTS):
            four_pods.objects.delete("v1/Pod", f"fleet-{number}", four_pods.namespace, grace=0)
        four_pods.bed.fleet.remove_node(_NODE)
