"""Valid names: every name that leaves the parsers has passed one of these checks.

Names end up in rulesets, file names, terminals and Events; a name that Kubernetes, or the kernel, would not accept is
refused here once, so that no code downstream has to.
"""

import re

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_SERVICE = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_CNI_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_REFUSED_IN_INTERFACE = frozenset(b"\0/:%\t\n\v\f\r \xa0")  # isspace() in lib/ctype.c, and characters with a meaning
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}(:[0-9a-f]{2}){0,14}")
_PCI = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_DEVICE = re.compile(r"[a-z0-9][a-z0-9_.-]*")

_RESERVED_INTERFACES = frozenset({"lo", "all", "default"})  # the last two name settings of all interfaces, in /proc/sys


def is_namespace_name(text: object) -> bool:
    """Whether a namespace can be called so (RFC 1123 label)."""
    return _fits(_LABEL, text, 63)


def is_object_name(text: object) -> bool:
    """Whether an object can be called so (RFC 1123 subdomain)."""
    return _fits(_SUBDOMAIN, text, 253)


def is_port_name(text: object) -> bool:
    """Whether a container's port can be called so (IANA_SVC_NAME, RFC 6335)."""
    return _fits(_SERVICE, text, 15)


def is_cni_type(text: object) -> bool:
    """Whether a CNI plugin can be called so; it is the name of a file."""
    return _fits(_CNI_TYPE, text, 63)


def is_interface_name(text: object) -> bool:
    """Whether an attachment's interface can be called so: all that the kernel takes, and never the loopback interface.

    The kernel (net/core/dev.c, dev_valid_name) looks at bytes and takes quotes, commas, wildcards and control
    characters: a renderer has to quote them, and so does a message. A percent sign stands for a number.
    """
    if not isinstance(text, str) or text in _RESERVED_INTERFACES:
        return False
    name = text.encode(errors="surrogatepass")
    return 0 < len(name) <= 15 and name not in {b".", b".."} and _REFUSED_IN_INTERFACE.isdisjoint(name)


def is_mac(text: object) -> bool:
    """Whether it is a hardware address, lower case: 6 bytes, or up to 20 (InfiniBand)."""
    return _fits(_MAC, text, 59)


def is_pci_address(text: object) -> bool:
    """Whether it is the address of a PCI function, such as ``0000:18:02.5``."""
    return _fits(_PCI, text, 16)


def is_device_name(text: object) -> bool:
    """Whether a device can be called so, lower case, such as ``mlx5_2`` (IB_DEVICE_NAME_MAX)."""
    return _fits(_DEVICE, text, 63)


def _fits(pattern: re.Pattern[str], text: object, longest: int) -> bool:
    return isinstance(text, str) and 0 < len(text) <= longest and pattern.fullmatch(text) is not None
