"""Policy kinds, commands, and the base of all descriptors."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import click

from mnp_core.classes import frozen
from mnp_core.model import Policy, Report


@frozen(kw_only=True)
class PolicyKindSpec:
    """Registers a kind of object that is read as a policy.

    Attributes:
        name: For settings and messages; by convention the plural.
        group: API group, for example ``k8s.cni.cncf.io``.
        versions: Served versions that are understood, preferred first.
        kind: ``kind`` of the object.
        plural: Name of the resource in the API.
        parse: From the decoded object to the policy and its problems. It must not raise anything but
            `mnp_core.errors.InputError`, which drops the object (S6).
    """

    name: str
    group: str
    versions: tuple[str, ...]
    kind: str
    plural: str
    parse: Callable[[Mapping[str, object]], tuple[Policy, tuple[Report, ...]]]


@frozen(kw_only=True)
class CommandSpec:
    """Registers a subcommand of `mnp`."""

    name: str
    factory: Callable[[], click.Command]


@runtime_checkable
class Named(Protocol):
    """Base of all descriptors."""

    @property
    def name(self) -> str:
        """Unique among descriptors of its type."""
