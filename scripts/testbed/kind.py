"""Which bed: the variable BED names it, until one is up; then it is that one."""

import os

from attrs import field, frozen

from scripts.testbed import place
from scripts.testbed.errors import TestBedError


@frozen(kw_only=True)
class Kind:
    """The parts of a bed.

    Attributes:
        name: Value of BED.
        kubernetes: The part (scripts/testbed/build) that holds the programs of Kubernetes.
        runtime: The container runtime, ``containerd`` or ``crio``.
        packaged: etcd, the runtime and the CNI plugins are Debian's packages; else they are built.
        packages: Purposes of scripts/testbed/packages besides ``bed``.
    """

    name: str
    kubernetes: str = "kubernetes"
    runtime: str = "containerd"
    packaged: bool = False
    packages: tuple[str, ...] = field(default=())


_KINDS = {
    kind.name: kind
    for kind in (
        Kind(name="current"),
        Kind(name="1.20", kubernetes="kubernetes-1.20", packaged=True, packages=("1.20",)),
        Kind(name="crio", runtime="crio", packages=("crio",)),
    )
}
_NOTE = place.ROOT / "kind"


def wanted() -> Kind:
    """The kind that BED names; `current` without it.

    Raises:
        TestBedError: There is no such kind.
    """
    name = os.environ.get("BED") or "current"
    if name not in _KINDS:
        raise TestBedError(f"BED={name}: there is no such bed; it is one of {', '.join(_KINDS)}")
    return _KINDS[name]


def chosen() -> Kind:
    """The kind of the bed that is up, or partly so, else the wanted kind."""
    try:
        return _KINDS[_NOTE.read_text()]
    except (FileNotFoundError, NotADirectoryError):
        return wanted()


def settle() -> None:
    """Note the wanted kind as that of the bed that is brought up.

    Raises:
        TestBedError: A bed of another kind is up, and BED is set.
    """
    if "BED" in os.environ and chosen() != wanted():
        raise TestBedError(f"BED={wanted().name}: the bed that is up is {chosen().name}: make testbed-down first")
    _NOTE.write_text(chosen().name)
