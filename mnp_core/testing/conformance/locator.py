"""Standard tests of locators: they find the network namespace of the pod, and no other one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from attrs import evolve

from mnp_core.api import Sandbox, SandboxLocator
from mnp_core.classes import frozen
from mnp_core.errors import SandboxNotFoundError
from mnp_core.model import ObjectName, Pod
from mnp_core.sandbox.netns import identify
from mnp_core.testing.conformance.base import Conformance, missing_hook, shown
from mnp_core.testing.corpus import HOSTILE_TEXTS

_PATHS = ("../../proc/1/ns/net", "/proc/self/ns/net", "..", ".", "a/../b", "*", "%2e%2e")


@frozen(kw_only=True)
class Located:
    """A world in which a locator has something to find.

    Attributes:
        locator: The locator.
        pod: A pod that is there.
        sandbox: Its namespace, known by other means.
        remake: Replaces the pod's sandbox, as after a crash of it, and returns the new one; the pod stays the same.
    """

    locator: SandboxLocator
    pod: Pod
    sandbox: Sandbox
    remake: Callable[[], Sandbox]


class SandboxLocatorConformance(Conformance, standard=True):
    """For an `mnp_core.api.SandboxLocator`. Needs root: namespaces are real."""

    def located(self) -> AbstractContextManager[Located]:
        """Make a pod that the locator can find, as its source would have made it: define this."""
        raise missing_hook(self, "located")

    @pytest.mark.root
    def test_it_finds_the_pods_namespace(self) -> None:
        """The path leads to it, and device and inode are its own."""
        with self.located() as world:
            found = world.locator.locate(world.pod)
            there = identify(found.path)
            expected = (world.sandbox.device, world.sandbox.inode)
            assert (found.device, found.inode) == expected
            assert (there.device, there.inode) == expected

    @pytest.mark.root
    def test_it_finds_it_again(self) -> None:
        """Twice, and on many threads at once."""
        with self.located() as world, ThreadPoolExecutor(max_workers=8) as threads:
            assert len({(s.device, s.inode) for s in threads.map(world.locator.locate, [world.pod] * 32)}) == 1

    @pytest.mark.root
    def test_a_sandbox_that_was_made_anew_is_noticed(self) -> None:
        """S61: an outdated result is not reused."""
        with self.located() as world:
            old = world.locator.locate(world.pod)
            with Path(old.path).open("rb"):  # or the kernel might give its inode to the new one
                new = world.remake()
                found = world.locator.locate(world.pod)
            assert (found.device, found.inode) == (new.device, new.inode)

    @pytest.mark.root
    def test_a_pod_that_is_not_there_is_not_found(self) -> None:
        """S64: worth another try later, so it is SandboxNotFoundError and nothing else."""
        with self.located() as world, pytest.raises(SandboxNotFoundError):
            world.locator.locate(evolve(world.pod, name=ObjectName("default", "nobody"), uid="0"))

    @pytest.mark.root
    @pytest.mark.parametrize("text", [*HOSTILE_TEXTS, *_PATHS], ids=shown)
    def test_hostile_names_lead_nowhere(self, text: str) -> None:
        """S6: a name is no path, and its content is no other error."""
        with self.located() as world:
            for name in (ObjectName(text, "pod"), ObjectName("default", text), ObjectName(text, text)):
                with pytest.raises(SandboxNotFoundError):
                    world.locator.locate(evolve(world.pod, name=name, uid=text))
