"""A change for all 100 pods of a node, in one process, until the kernel has announced the commit in each namespace.

Real network namespaces with veths, no API server; as many kinds of pods as `APPS` says (50: two policies select each;
10: ten), 100 policies, 1,000 pods on other nodes. A process of its own listens to the namespaces: it takes no turns of
the agent's interpreter. Beside it the floor: complete rulesets, committed with nothing around it. Needs root.
"""

import json
import os
import resource
import select
import socket
import statistics
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

from attrs import evolve, frozen

from benchmarks.one_change import Bench
from mnp_core.model import Block, Change, ObjectName, Pod, PodPeer, Policy, Selector
from mnp_core.netfilter.kept import kept_socket
from mnp_core.sandbox._syscalls import setns
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.builders import (
    absent,
    block,
    namespace,
    network,
    pod,
    pods,
    policy,
    present,
    rule,
    selector,
    status,
)
from mnp_nftables.commit_listener import listen_to_commits
from mnp_nftables.renderer import NftablesRuleset

LOCAL, FAR, POLICIES = 100, 1000, 100
APPS, ROUNDS = int(os.environ.get("APPS", "50")), int(os.environ.get("ROUNDS", "10"))
_CLONE_NEWNET = 0x40000000
_READY = b"ready\n"


@frozen
class Taken:
    """Milliseconds: until half of the pods and all have the change, of processor until then, and until all is done."""

    half: float
    all: float
    user: float
    system: float
    until_done: float


class Announcements:
    """A process that notes when each of some sockets announces its first commit."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._questions, self._answers = os.pipe(), os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(self._questions[1])
            try:
                self._serve(sockets)
            finally:
                os._exit(0)
        os.close(self._questions[0])

    def _serve(self, sockets: Sequence[socket.socket]) -> None:
        while os.read(self._questions[0], 1):
            poll = select.poll()
            for each in sockets:
                with suppress(BlockingIOError):
                    while each.recv(65536):
                        pass
                poll.register(each, select.POLLIN)
            os.write(self._answers[1], _READY)
            times = list[float]()
            while len(times) < len(sockets) and (ready := poll.poll(20_000)):
                for number, _ in ready:
                    poll.unregister(number)
                    times.append(time.monotonic())
            os.write(self._answers[1], json.dumps(times).encode() + b"\n")

    def begin(self) -> None:
        os.write(self._questions[1], b"?")
        while os.read(self._answers[0], len(_READY)) != _READY:
            pass

    def times(self) -> list[float] | None:
        """When each namespace announced it (time.monotonic); None as long as some have not."""
        if not select.select([self._answers[0]], [], [], 0)[0]:
            return None
        answer = b""
        while not answer.endswith(b"\n"):
            answer += os.read(self._answers[0], 65536)
        found: list[float] = json.loads(answer)
        return found

    def close(self) -> None:
        os.close(self._questions[1])
        os.waitpid(self._process, 0)


def main() -> None:
    with ExitStack() as stack:
        bench = Bench(stack, node="here")
        local = list(map(bench.add, range(LOCAL)))
        sockets = [run_inside(each, listen_to_commits) for each in bench.sandboxes.values()]
        announcements = Announcements(sockets)
        stack.callback(announcements.close)
        for each in sockets:
            each.close()
        bench.submit(*everything(local))
        bench.settle()
        names = [change.ref.name for change in local]
        floor(bench, names)
        for what, taken in rounds(bench, announcements).items():
            print(f"{what}: {_line(taken)}")


def everything(local: Iterable[Change]) -> list[Change]:
    """All objects of the cluster."""
    changes = [present(network("net", "macvlan")), present(namespace("default"))]
    for number, found in enumerate(change.object for change in local):
        if isinstance(found, Pod):
            labels = {"app": f"app-{number % APPS}", "node": "here"}
            changes.append(present(evolve(found, labels=labels, node="here")))
    changes += [
        present(far(f"far-{number}", f"10.61.{number // 250}.{number % 250 + 1}", f"app-{number % APPS}"))
        for number in range(FAR)
    ]
    for number in range(POLICIES):
        selected, peer = selector(app=f"app-{number % APPS}"), f"app-{(number + 1) % APPS}"
        changes.append(present(allowing(f"policy-{number}", number, peer, selected)))
    return changes


def far(name: str, address: str, app: str) -> Pod:
    return pod(name, status("net", "net1", address), labels={"app": app}, node="elsewhere")


def allowing(name: str, number: int, peer: str, selected: Selector) -> Policy:
    peers: list[PodPeer | Block] = [pods(app=peer), block(f"192.168.{number}.0/24", f"192.168.{number}.8/29")]
    return policy(name, networks=["net"], selector=selected, ingress=[rule(peers, ["TCP/80", "UDP/53"])])


def rounds(bench: Bench, announcements: Announcements) -> dict[str, list[Taken]]:
    everywhere, late = allowing("everywhere", 200, "app-1", selector(node="here")), far("late", "10.62.0.1", "app-1")
    steps = {
        "policy created": present(everywhere),
        "peer pod added": present(late),
        "peer pod removed": absent(late),
        "policy deleted": absent(everywhere),
    }
    found: dict[str, list[Taken]] = {what: [] for what in steps}
    for number in range(ROUNDS + 1):
        for what, change in steps.items():
            taken = until_all(bench, announcements, change)
            if number:  # the first round warms up
                found[what].append(taken)
    return found


def until_all(bench: Bench, announcements: Announcements, change: Change) -> Taken:
    announcements.begin()
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    bench.submit(change)
    while (times := announcements.times()) is None:
        bench.agent.process(0.02)
    then = resource.getrusage(resource.RUSAGE_SELF)
    bench.settle()
    after = resource.getrusage(resource.RUSAGE_SELF)
    if len(times) < LOCAL:
        raise SystemExit(f"after 20 s the change is in force in {len(times)} of {LOCAL} pods")
    user, system = then.ru_utime - before.ru_utime, then.ru_stime - before.ru_stime
    done = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    half, last = times[len(times) // 2] - began, times[-1] - began
    return Taken(*(each * 1000 for each in (half, last, user, system, done)))


def floor(bench: Bench, names: Sequence[ObjectName]) -> None:
    """Complete rulesets, from 32 threads."""
    batches = {
        name: ruleset.batch for name in names if isinstance(ruleset := bench.agent.ruleset(name), NftablesRuleset)
    }

    def commit(name: ObjectName) -> None:
        fd = os.open(bench.sandboxes[name].path, os.O_RDONLY | os.O_CLOEXEC)
        setns(fd, _CLONE_NEWNET)
        os.close(fd)
        with kept_socket() as kernel:
            kernel.commit(batches[name])

    taken, used = list[float](), list[float]()
    with ThreadPoolExecutor(32) as threads:
        for _ in range(ROUNDS):
            processor, began = time.process_time(), time.monotonic()
            list(threads.map(commit, names))
            taken.append((time.monotonic() - began) * 1000)
            used.append((time.process_time() - processor) * 1000)
            time.sleep(0.3)
    print(f"floor, rulesets: all {_spread(taken)} ms, processor {statistics.median(used):.0f} ms")
    bench.settle()


def _line(taken: Sequence[Taken]) -> str:
    half, user, system, done = (
        statistics.median(getattr(each, name) for each in taken) for name in ("half", "user", "system", "until_done")
    )
    last = _spread([each.all for each in taken])
    return f"half {half:.0f}, all {last} ms; processor {user:.0f} + {system:.0f} ms, until all is done {done:.0f} ms"


def _spread(taken: Sequence[float]) -> str:
    return f"{statistics.median(taken):.0f} (worst {max(taken):.0f})"


if __name__ == "__main__":
    main()
