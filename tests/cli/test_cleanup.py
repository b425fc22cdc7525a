"""`mnp cleanup`, on namespaces that the test laid out as a machine's: the real ones are none of its business."""

import pytest
from attrs import evolve

from mnp_core.model import ObjectName
from mnp_core.sandbox.created import new_namespace, pin, unpin
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from mnp_core.testing.builders import pod
from mnp_core.testing.policies import DENY, interface, sandbox
from mnp_nftables import NftablesApplier, NftablesRenderer
from tests.sandbox.cri.runtime import FakeRuntime, containerd_info

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
def test_state_outside_of_namespaces_goes_too_or_is_an_error(mnp, machine, monkeypatch, error, status):
    """S62: else a node that is not enforced any more would go on policing."""
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


# --- order and exceptions ---------------------------------------------------------------------------------------------


def installed(spaces):
    return [run_inside(space, applier.installed) is not None for space in spaces]


def test_a_dry_run_lists_everything_and_leaves_it(mnp, machine):
    root, (one, two, three) = machine
    for space in (one, three):
        run_inside(space, lambda: applier.apply(RULESET))
    ended = mnp("cleanup", "--host-prefix", root, "--dry-run")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        f"{root}/run/netns/one: nftables",
        f"{root}/proc/42/ns/net: nftables",
        "3 network namespaces: 2 have something of ours, nothing was taken away",
    ]
    assert installed((one, two, three)) == [True, False, True]


def test_only_the_network_namespaces_that_are_named(mnp, machine):
    root, (one, two, three) = machine
    for space in (one, two, three):
        run_inside(space, lambda: applier.apply(RULESET))
    paths = root / "run/netns/one", root / "run/netns/two"
    ended = mnp("cleanup", "--netns", paths[0], "--netns", paths[1])
    assert ended.out == "2 network namespaces: 2 cleaned, 0 failed, the others had nothing of ours\n"
    assert installed((one, two, three)) == [False, False, True]


def test_only_the_rules_of_one_backend(mnp, machine):
    root, (one, *_) = machine
    run_inside(one, lambda: applier.apply(RULESET))
    ended = mnp("cleanup", "--host-prefix", root, "--backend", "iptables")
    assert (ended.status, installed([one])) == (0, [True])
    ended = mnp("cleanup", "--host-prefix", root, "--backend", "nftables")
    assert (ended.status, installed([one])) == (0, [False])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--netns", "/proc/self/ns/net"], "is the host's own network namespace"),
        (["--netns", "/run/netns/no-such"], "/run/netns/no-such"),
        (["--backend", "pf"], "no installed plugin offers a backend 'pf': there are "),
        (["--pod", "a/b/c"], "write namespace/name"),
    ],
)
def test_a_scope_that_cannot_be_is_refused(mnp, arguments, words):
    ended = mnp("cleanup", *arguments)
    assert (ended.status, words in ended.err) == (2, True), ended


def pod_of(name, namespace, uid):
    return evolve(pod(name), name=ObjectName(namespace, name), uid=uid)


def test_only_the_pods_that_are_named(mnp, machine, tmp_path):
    """The container runtime knows them; pods on the host's network are none."""
    _, (one, two, three) = machine
    for space in (one, two, three):
        run_inside(space, lambda: applier.apply(RULESET))
    socket = tmp_path / "runtime.sock"
    at = ("--container-runtime-endpoint", socket)
    with FakeRuntime(socket) as runtime:
        runtime.run(pod_of("web", "shop", "1"), containerd_info(one.path))
        runtime.run(pod_of("db", "shop", "2"), containerd_info(two.path))
        runtime.run(pod_of("proxy", "shop", "3"), containerd_info("/proc/self/ns/net"))
        runtime.run(pod_of("web", "other", "4"), containerd_info(three.path))
        ended = mnp("cleanup", "--pod", "shop/web", *at, "--dry-run")
        assert ended.out.splitlines()[0] == f"shop/web ({one.path}): nftables"
        assert mnp("cleanup", "--pod", "shop/web", *at).out.startswith("1 network namespaces: 1 cleaned")
        assert installed((one, two, three)) == [False, True, True]
        assert mnp("cleanup", "-n", "shop", *at).out.startswith("2 network namespaces: 1 cleaned")
        assert installed((one, two, three)) == [False, False, True]
        ended = mnp("cleanup", "--pod", "shop/nobody", *at)
        assert (ended.status, "runs no pod shop/nobody" in ended.err) == (2, True)
