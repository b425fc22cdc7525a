"""The agent's process is killed, at the boundaries that matter and at any."""

import time
from contextlib import contextmanager
from random import Random

from tests.faults.bed import NFTABLES


@contextmanager
def killed(bed, on="commit", number=1, when="before"):
    """SIGKILL around its nth commit, or netlink message, of the change."""
    with bed.order(do="kill", on=on, number=number, when=when):
        yield
        bed.await_death()


@contextmanager
def killed_at_start(bed, on="commit", number=1, when="before"):
    """The agent ends, objects change, and the next one is killed as it takes over."""
    bed.kill()
    yield
    with bed.order(do="kill", on=on, number=number, when=when):
        bed.start(ready=False)
        bed.await_death()


@contextmanager
def killed_in_clean_up(bed):
    """At a start, as a change of policy alone is written as a difference, which leaves nothing to clean up."""
    with killed_at_start(bed, number=2):
        yield
    assert bed.has_leftovers()


@contextmanager
def killed_everywhere(bed, *, starts=False):
    """SIGKILL before each netlink message of a change, or of a start, one life for each.

    A change writes at most a message for the policy and one for the members; a start reads the kernel's state, too.
    """
    yield
    number, killed = 1, True
    while killed:
        _prepare_life(bed, starts=starts)
        with bed.order(do="kill", on="send", number=number, when="before", must=False):
            killed = _live(bed, starts=starts)
        number += 1
    assert number > (10 if starts else 2), f"there are more messages than {number - 1}"


def _prepare_life(bed, *, starts):
    """At a start members alone differ: lives too short for a clean-up would leave more over each time."""
    if not bed.running:
        bed.start()
    bed.until(lambda: not bed.differences(), "nothing is left over")
    if starts:
        bed.kill()
        bed.change_members()


def _live(bed, *, starts):
    """Start or change something; return whether it was killed for that."""
    if starts:
        bed.start(ready=False)
    else:
        bed.change()
    settled = 0  # times in a row
    while bed.running and settled < 20:
        settled = settled + 1 if bed.is_ready() and bed.right() else 0
        time.sleep(0.05)
    return not bed.running


@contextmanager
def killed_with_iptables(bed):
    """Between the commits of its sets and of its rules; before and afterwards nftables takes over."""
    bed.kill()
    bed.use("iptables-nft")
    bed.start()
    bed.until(bed.right, "iptables has taken over")
    with bed.order(do="kill", on="commit", number=1, when="before"):
        bed.change_policy()
        bed.await_death()
    yield
    bed.start()
    bed.recover("the rules are right with iptables")
    bed.kill()
    bed.use(NFTABLES)


@contextmanager
def killed_at_random(bed, lives):
    """SIGKILL at any moment of short lives, while objects change."""
    chance = Random(0)  # noqa: S311 - a test
    yield
    for _ in range(lives):
        bed.kill()
        bed.change()
        bed.start(ready=False)
        end = time.monotonic() + chance.uniform(0.5, 2.5)
        while time.monotonic() < end:
            bed.change()
            time.sleep(chance.uniform(0, 0.1))
    bed.kill()
