"""The test bed's parts: one file has the versions, and the builds follow it."""

import re
import subprocess
from pathlib import Path

import pytest

TESTBED = Path(__file__).parents[2] / "scripts/testbed"
MAIN = {
    "kubernetes": {"k8s.io/kubernetes": "kubernetes", "go.etcd.io/etcd/server/v3": "etcd"},
    "multus": {"gopkg.in/k8snetworkplumbingwg/multus-cni.v4": "multus"},
    "whereabouts": {"github.com/k8snetworkplumbingwg/whereabouts": "whereabouts"},
    "crio": {"github.com/cri-o/cri-o": "crio"},
}
"""By the folder in modules: the modules that it is there for, and their names in `versions`."""


def versions():
    lines = (TESTBED / "versions").read_text().splitlines()
    return dict(line.split("=") for line in lines if line and not line.startswith("#"))


def where(*parts, **environment):
    command = [TESTBED / "build", "--where", *parts]
    env = {"PATH": "/usr/bin:/bin", "MNP_TESTBED_CACHE": "/nowhere", **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_every_module_is_listed():
    assert {path.name for path in (TESTBED / "modules").iterdir()} == MAIN.keys()


@pytest.mark.parametrize("part", MAIN)
def test_a_module_requires_the_version_that_is_written_down(part):
    required = dict(
        re.findall(r"^(?:require)?\s*(\S+) v(\S+)$", (TESTBED / f"modules/{part}/go.mod").read_text(), re.M)
    )
    for module, name in MAIN[part].items():
        assert required[module] == versions()[name]


@pytest.mark.parametrize(
    ("bed", "parts"),
    [
        ("current", ["kubernetes", "containerd", "runc", "cni", "multus", "whereabouts"]),
        ("crio", ["kubernetes", "crio", "runc", "cni", "multus", "whereabouts"]),
        ("1.20", ["kubernetes", "multus"]),
    ],
)
def test_each_bed_has_its_parts_in_the_cache(bed, parts):
    """Outside of the checkout, each in a folder that is named after its version and its recipe."""
    folders = where(BED=bed).stdout.split()
    assert all(folder.startswith("/nowhere/") for folder in folders)
    assert sorted(Path(folder).name.split("-")[0] for folder in folders) == sorted(parts)
    assert bed == "1.20" or f"/nowhere/kubernetes-{versions()['kubernetes']}-" in folders[0]


@pytest.mark.parametrize(("words", "environment"), [((), {"BED": "2.0"}), (("nothing",), {})])
def test_unknown_choice_is_refused(words, environment):
    ended = where(*words, **environment)
    assert ended.returncode == 1
    assert ended.stderr.startswith("testbed: ")
