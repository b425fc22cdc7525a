"""Control groups identify the pod of a process, in all the forms that kubelets and runtimes write."""

import pytest

from mnp_core.sandbox.proc.cgroup import pod_of

UID = "0a1b2c3d-0000-4000-8000-00000000000a"
ESCAPED = UID.replace("-", "_")
OTHER = "ffffffff-0000-4000-8000-00000000000f"


@pytest.mark.parametrize(
    "path",
    [
        f"/kubepods/pod{UID}/0123abcd",
        f"/kubepods/burstable/pod{UID}/0123abcd",
        f"/kubepods/besteffort/pod{UID}",
        f"/kubelet/kubepods/burstable/pod{UID}/0123abcd/init.scope",
        f"/docker/0123abcd/kubepods/burstable/pod{UID}/0123abcd",
        f"/kubepods.slice/kubepods-pod{ESCAPED}.slice/cri-containerd-0123abcd.scope",
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{ESCAPED}.slice/crio-0123abcd.scope/container",
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{ESCAPED}.slice",
        f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{ESCAPED}.slice/x",
        f"/system.slice/containerd.service/kubepods-burstable-pod{ESCAPED}.slice:cri-containerd:0123abcd",
        # seen from a control group namespace of the agent's own pod
        f"/../../pod{UID}/0123abcd",
        f"/../../../besteffort/pod{UID}/0123abcd",
        f"/../../../pod{UID}",
        f"/../../../../kubepods/burstable/pod{UID}/0123abcd",
        f"/../../kubepods-burstable-pod{ESCAPED}.slice/cri-containerd-0123abcd.scope",
        f"/../../../kubepods-pod{ESCAPED}.slice/cri-containerd-0123abcd.scope",
        # made by the pod itself, below
        f"/kubepods/burstable/pod{UID}/0123abcd/kubepods/burstable/pod{OTHER}/x",
        f"/kubepods/burstable/pod{UID}/kubepods.slice/kubepods-pod{OTHER}.slice",
        f"/kubepods.slice/kubepods-pod{ESCAPED}.slice/x.scope/kubepods/pod{OTHER}",
        f"/../../pod{UID}/0123abcd/kubepods/pod{OTHER}",
        f"/../../../kubepods-pod{ESCAPED}.slice/x/../kubepods/pod{OTHER}",
    ],
)
def test_a_pods_process(path):
    assert pod_of(f"0::{path}\n") == UID
    assert pod_of(f"12:pids:{path}\n11:cpu,cpuacct:{path}\n1:name=systemd:/init.scope\n0::/\n") == UID


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/system.slice/containerd.service",
        f"/system.slice/pod{UID}",
        f"/user.slice/notkubepods/pod{UID}",
        f"/kubepods/{UID}",
        "/kubepods/burstable/pod",
        "/kubepods/burstable",
        "/kubepods.slice/kubepods-burstable.slice",
        f"/pod{UID}",
        f"/../system.slice/pod{UID}",
    ],
)
def test_no_pods_process(path):
    assert pod_of(f"0::{path}\n") == ""


@pytest.mark.parametrize("text", ["", "\n", ":", "0:", "0::", "garbage", "\udcff:\udcff:\udcff", "0::/kubepods/pod\n"])
def test_malformed_list_of_control_groups_is_no_pod(text):
    assert pod_of(text) == ""


def test_a_process_whose_hierarchies_disagree_is_nobodys():
    assert pod_of(f"2:pids:/kubepods/pod{UID}\n1:cpu:/kubepods/pod{OTHER}\n") == ""
