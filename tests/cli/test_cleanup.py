"""`mnp cleanup`, on namespaces that the test laid out as a machine's: the real ones are none of its business."""

import pytest

from mnp_core.sandbox.namespace import new_namespace, pin, unpin
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from mnp_core.testing.policies import DENY, interface, sandbox
from mnp_nftables import NftablesApplier, NftablesRenderer

pytestmark = pytest.mark.root
applier = NftablesApplier()
RULESET = NftablesRenderer().render(sandbox(interface("net1", ingress=DENY)))


@pytest.fixture
def machine(tmp_path):
    """A file system with two named namespaces and a process in a third."""
    root = tmp_path / "host"
    (root / "run/netns").mkdir(parents=True)
    (root / "proc/42/ns").mkdir(parents=True)
    paths = [root / "run/netns/one", root / "run/netns/two", root / "proc/42/ns/net"]
    with new_namespace() as one, new_namespace() as two, new_namespace() as three:
        spaces = [one.sandbox, two.sandbox, three.sandbox]
        try:
            for space, path in zip(spaces, paths, strict=True):
                pin(space, path)
            yield root, spaces
        finally:
            for path in paths:
                unpin(path)


def test_rules_go_from_every_namespace_and_those_of_others_stay(mnp, machine):
    root, (one, two, three) = machine
    for space in (one, three):
        run_inside(space, lambda: applier.apply(RULESET))
    run_inside(one, lambda: nft.load(nft.FOREIGN))
    foreign = run_inside(one, nft.foreign_listing)
    ended = mnp("cleanup", "--host-prefix", root)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "3 network namespaces: 2 cleaned, 0 failed, the others had nothing of ours\n"
    assert [run_inside(space, applier.installed) for space in (one, two, three)] == [None] * 3
    assert run_inside(one, nft.foreign_listing) == foreign


def test_the_hosts_own_namespace_is_none_of_them(mnp, machine):
    root, _ = machine
    (root / "proc/1/ns").mkdir(parents=True)
    (root / "proc/1/ns/net").symlink_to("/proc/self/ns/net")
    ended = mnp("cleanup", "--host-prefix", root)
    assert ended.out.startswith("3 network namespaces: 0 cleaned")


@pytest.mark.parametrize(("error", "status"), [(None, 0), (OSError(16, "device busy"), 1)])
def test_what_is_kept_outside_of_namespaces_goes_too_or_is_an_error(mnp, machine, monkeypatch, error, status):
    """S62: else a node that is not policed any more would go on policing."""
    swept = []

    def sweep(_applier, known):
        swept.append(tuple(known))
        if error:
            raise error

    monkeypatch.setattr(NftablesApplier, "sweep", sweep, raising=False)
    monkeypatch.setattr(NftablesApplier, "forget", lambda _applier, _sandbox: None, raising=False)
    ended = mnp("cleanup", "--host-prefix", machine[0])
    assert (ended.status, swept) == (status, [()])
    assert ("device busy" in ended.err) is bool(error)


def test_a_machine_without_namespaces_has_nothing_to_clean(mnp, tmp_path):
    ended = mnp("cleanup", "--host-prefix", tmp_path)
    assert (ended.status, ended.out) == (
        0,
        "0 network namespaces: 0 cleaned, 0 failed, the others had nothing of ours\n",
    )
