"""Errors of the kernel with their remedies."""

import errno

_MEMORY = "the machine or its control group is out of memory"
_REMEDIES = {
    errno.EMFILE: "raise the limit of open files of the process",
    errno.ENFILE: "raise the limit of open files of the machine (fs.file-max)",
    errno.ENOMEM: _MEMORY,
    errno.ENOBUFS: _MEMORY,
    errno.EPERM: "run as root with CAP_NET_ADMIN; or a process in the pod owns the table",
    errno.EACCES: "run as root with CAP_NET_ADMIN",
}


def describe(error: OSError, otherwise: str = "") -> str:
    """An error in words, with its remedy, or with `otherwise` if there is none of its own."""
    remedy = _REMEDIES.get(error.errno or 0, otherwise)
    return f"{error.strerror}: {remedy}" if remedy else f"{error.strerror}"
