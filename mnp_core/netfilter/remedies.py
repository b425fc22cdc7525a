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


def remedy(code: int) -> str:
    """The remedy of an error by its number; empty if it has none of its own."""
    return _REMEDIES.get(code, "")


def describe(error: OSError, otherwise: str = "") -> str:
    """An error in words, with its remedy, or with `otherwise` if there is none of its own."""
    return ": ".join(part for part in (error.strerror or str(error), remedy(error.errno or 0) or otherwise) if part)
