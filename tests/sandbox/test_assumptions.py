"""Nothing of ours knows which control groups, which /run and which runtime a node has, but for one list of sockets."""

from pathlib import Path

import pytest

from mnp_core.sandbox.cri.locator import USUAL_ENDPOINTS

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("mnp_core", "plugins") for path in (ROOT / folder).glob("**/*.py")]


@pytest.mark.parametrize(
    ("place", "where"),
    [
        ("/sys/fs/cgroup", set()),  # /proc/PID/cgroup suffices, in both versions
        ("containerd.sock", {"mnp_core/sandbox/cri/locator.py"}),
        ("crio.sock", {"mnp_core/sandbox/cri/locator.py"}),
    ],
)
def test_a_place_that_differs_between_nodes_is_known_in_one_module(place, where):
    ours = [path for path in SOURCES if "tests" not in path.relative_to(ROOT).parts and "testing" not in path.parts]
    assert len(ours) > 100, "else this test could not fail"
    found = {str(path.relative_to(ROOT)) for path in ours if place in path.read_text()}
    assert found <= where


@pytest.mark.parametrize("runtime", ["/run/containerd/", "/run/crio/", "/run/k3s/containerd/", "/run/k0s/"])
def test_sockets_are_tried_where_each_runtime_has_one(runtime):
    """Without a setting; /var/run is a link to /run on every node with systemd."""
    assert [path for path in USUAL_ENDPOINTS if path.startswith(runtime)]
