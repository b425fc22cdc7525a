"""The pod of a process, by the kubelet's names of control groups.

    cgroupfs  /kubepods/burstable/podUID/CONTAINER
    systemd   /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-CONTAINER.scope

In the second form the UID's ``-`` are ``_``, as ``-`` means a level there. Guaranteed pods have neither ``burstable``
nor ``besteffort``. The prefix of ``kubepods`` depends on the node: the kubelet's ``--cgroup-root``, or a node that is a
container itself. See the kubelet's package ``cm`` (pod_container_manager_linux.go, cgroup_manager_linux.go).

A reader with a cgroup namespace of its own sees groups beside it as ``/../../podUID/CONTAINER``, see
cgroup_namespaces(7), and then ``kubepods`` may be out of sight.

A pod may make control groups below its own and name them as it likes. So the outermost name counts, and no other.
"""

import re
from typing import Final

_CGROUPFS: Final = r"(?:^|/)kubepods(?:/burstable|/besteffort)?/pod([^/]+)"
_SYSTEMD: Final = r"(?:^|/)(?:[^/]*-)?kubepods(?:-burstable|-besteffort)?-pod([^/]+?)\.slice(?=[/:]|$)"
_BESIDE: Final = r"^(?:/\.\.)+(?:/kubepods)?(?:/burstable|/besteffort)?/pod([^/]+)"
_OUTERMOST: Final = re.compile(f"{_BESIDE}|{_CGROUPFS}|{_SYSTEMD}")


def pod_of(text: str) -> str:
    """Read ``/proc/PID/cgroup``, see cgroups(7).

    Returns:
        The UID of the pod that the process belongs to; empty if it belongs to none, or its hierarchies disagree.
    """
    paths = (line.split(":", 2)[-1] for line in text.splitlines())
    uids = {uid for path in paths if (uid := _uid(path))}
    return uids.pop() if len(uids) == 1 else ""


def _uid(path: str) -> str:
    match = _OUTERMOST.search(path)
    return next(filter(None, match.groups())).replace("_", "-") if match else ""
