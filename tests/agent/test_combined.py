"""Several backends in one sandbox: each interface in the hands of those that reach it, and nothing opens between."""

import pytest
from attrs import evolve

from mnp_core.combined import CombinedApplier, CombinedRenderer, Part
from mnp_core.errors import ApplyError
from mnp_core.model import Delta, InterfacePolicy, LinkPath, ObjectName, SandboxPolicy
from mnp_core.testing.fakes import FakeApplier, FakeKernel, FakeRenderer

POD = ObjectName("a", "p")
POLICY = SandboxPolicy(
    pod=POD,
    interfaces=(
        InterfacePolicy(interface="net1", path=LinkPath.BRIDGED, carrier="net1-nic"),
        InterfacePolicy(interface="net2"),
    ),
)


class World:
    """A main backend and one for frames, each with a kernel of its own."""

    def __init__(self):
        self.kernels = FakeKernel(), FakeKernel()
        self.spaces = [kernel.add(POD) for kernel in self.kernels]
        appliers = [FakeApplier(kernel) for kernel in self.kernels]
        main = Part(name="main", renderer=FakeRenderer(), applier=appliers[0], paths={LinkPath.IP}, is_main=True)
        beside = Part(name="frames", renderer=FakeRenderer(), applier=appliers[1], paths={LinkPath.BRIDGED})
        self.renderer, self.applier = CombinedRenderer((main, beside)), CombinedApplier((main, beside))
        for kernel, space in zip(self.kernels, self.spaces, strict=True):
            kernel._inside = space  # all calls here are in the sandbox


@pytest.fixture
def world():
    return World()


def test_the_main_backend_has_every_interface_by_name_and_the_other_its_own(world):
    main, beside = (part.text for part in world.renderer.render(POLICY).parts)
    assert "net1-nic" not in main
    assert ("net1" in main, "net2" in main) == (True, True)
    assert ("net1-nic" in beside, "net2" in beside) == (True, False)


def test_rules_are_in_force_only_if_they_are_in_both(world):
    ruleset = world.renderer.render(POLICY)
    assert world.applier.installed() is None
    world.applier.apply(ruleset)
    assert world.applier.is_in_force(ruleset)
    assert world.applier.installed().matches(ruleset)
    world.spaces[1].ruleset = None
    assert not world.applier.is_in_force(ruleset)
    assert not world.applier.installed().matches(ruleset)


def test_a_change_by_others_in_either_shows_in_the_generation(world):
    world.applier.apply(world.renderer.render(POLICY))
    seen = {world.applier.generation()}
    for space in world.spaces:
        space.generation += 1
        seen.add(world.applier.generation())
    assert len(seen) == 3


def test_what_was_rendered_for_one_backend_is_refused(world):
    with pytest.raises(ApplyError, match="not rendered for these backends"):
        world.applier.apply(FakeRenderer().render(POLICY))
    with pytest.raises(ApplyError, match="not rendered for these backends"):
        world.applier.update(Delta(dialect="fake", text=""))


def test_removal_is_of_both(world):
    world.applier.apply(world.renderer.render(POLICY))
    world.applier.remove()
    assert [space.ruleset for space in world.spaces] == [None, None]


@pytest.mark.parametrize(("alone", "joins"), [(0, 1), (1, 0)], ids=["the main one", "the other"])
def test_a_backend_that_was_alone_gives_nothing_up_before_the_other_has_it_in_force(world, alone, joins):
    """S60: until now it had rules for all interfaces."""
    before = FakeRenderer().render(POLICY)
    world.spaces[alone].commit(before, "apply")
    world.spaces[joins].refuse = True
    with pytest.raises(ApplyError, match="on purpose"):
        world.applier.apply(world.renderer.render(POLICY))
    assert world.spaces[alone].ruleset == before


def test_of_two_in_force_the_main_backend_changes_last(world):
    """S60: it has every interface by name, whichever way its packets take."""
    world.applier.apply(world.renderer.render(POLICY))
    before = world.spaces[0].ruleset
    world.spaces[1].refuse = True
    with pytest.raises(ApplyError, match="on purpose"):
        world.applier.apply(world.renderer.render(evolve(POLICY, interfaces=POLICY.interfaces[:1])))
    assert world.spaces[0].ruleset == before
