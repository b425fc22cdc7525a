"""The image of the sandboxes' first process."""

import hashlib
import io
import json
import os
import shutil
import tarfile

PAUSE = "pause.example/pause:1"
# It ends at SIGTERM, as Kubernetes' pause does: CRI-O sends that signal and waits. Without a handler the kernel keeps
# signals from the first process of a container.
_COMMAND = ["/bin/busybox", "sh", "-c", "trap exit TERM INT; /bin/busybox sleep 2147483647 & wait"]


def write_image(path):
    """Write an image of one layer, in the format of `docker save`; its process waits for SIGTERM."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(shutil.which("busybox"), "bin/busybox")
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Entrypoint": _COMMAND},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer.getvalue())}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]
    files = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(path, "w") as tar:
        for name, content in {**files, "layer.tar": layer.getvalue()}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def _sha256(content):
    return hashlib.sha256(content).hexdigest()
