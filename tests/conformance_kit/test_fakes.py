"""The fakes keep the contract that they stand in for: those tests of the kit that need no packets."""

from pathlib import Path

import pytest
from attrs import evolve

from mnp_core.testing.conformance import ApplierConformance, RendererConformance
from mnp_core.testing.fakes import FakeApplier, FakeKernel, FakeNamespace, FakeRenderer


class KernelOfNamespaces(FakeKernel):
    """Has a fake namespace for each real one: the kit enters those."""

    def __init__(self):
        super().__init__()
        self.found = {}

    @property
    def inside(self):
        return self.found.setdefault(Path("/proc/thread-self/ns/net").stat().st_ino, FakeNamespace())


class TestFakes(RendererConformance, ApplierConformance):
    """A namespace of another test may have the same inode, so each test has a kernel of its own."""

    @pytest.fixture(autouse=True)
    def _kernel(self):
        self.kernel, self.theirs = KernelOfNamespaces(), {}

    def make_renderer(self):
        return FakeRenderer()

    def make_applier(self):
        return FakeApplier(self.kernel)

    def everything(self):
        return self.kernel.inside.ruleset, self.foreign_rules()

    def put_foreign_rules(self):
        self.kernel.inside.generation += 1
        self.theirs[id(self.kernel.inside)] = "rules of others"

    def foreign_rules(self):
        return self.theirs.get(id(self.kernel.inside))

    def tampering(self):
        inside = self.kernel.inside
        yield "everything is gone", lambda: inside.commit(None, "tampered")
        yield "the rules are others", lambda: inside.commit(evolve(inside.ruleset, digest=""), "tampered")
        yield (
            "a set is empty",
            lambda: inside.commit(
                evolve(inside.ruleset, sets=dict.fromkeys(inside.ruleset.sets, frozenset())), "tampered"
            ),
        )
