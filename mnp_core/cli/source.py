"""The objects that a command judges: manifests, those of a live cluster, or a cluster with manifests applied to it."""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from attrs import evolve

from mnp_core.classes import frozen
from mnp_core.cli.app import CLUSTER_IS_MEANT
from mnp_core.cli.objects import Objects, read_objects
from mnp_core.cli.options import namespace_option
from mnp_core.cli.terminal import remark
from mnp_core.errors import InputError
from mnp_core.model import ObjectName, Pod
from mnp_core.model.kinds import BUILT_IN_KINDS
from mnp_core.plugins import Registry
from mnp_core.settings import Settings
from mnp_core.sources.manifests import Document

if TYPE_CHECKING:
    from mnp_core.kubeapi.connection import HttpApiServer

F = TypeVar("F", bound=Callable[..., Any])


@frozen(kw_only=True)
class Access:
    """The way to a cluster, in kubectl's words.

    Attributes:
        kubeconfig: A file; None for that of the environment, of the user, or of the pod.
        context: Of it; None for its current one.
    """

    kubeconfig: str | None = None
    context: str | None = None

    def file(self) -> str | None:
        """The kubeconfig that counts, as kubectl finds it; None in a pod without one."""
        usual = Path.home() / ".kube" / "config"
        return self.kubeconfig or os.environ.get("KUBECONFIG") or (str(usual) if usual.is_file() else None)

    def connect(self) -> "HttpApiServer":
        """Connect; raises InputError, UnsupportedError."""
        from mnp_core.kubeapi.connection import connect  # noqa: PLC0415 # slow to import, and for clusters alone

        file = self.file()
        if file is None and self.context is not None:
            raise InputError("there is no kubeconfig with contexts: name one with --kubeconfig", where="--context")
        return connect(file, context=self.context)

    def namespace(self) -> str | None:
        """The namespace of the context; None if it names none."""
        from mnp_core.kubeapi.credentials import context_namespace  # noqa: PLC0415 # as above

        file = self.file()
        return context_namespace(file, self.context) if file is not None else None


@frozen(kw_only=True)
class Source:
    """Where objects come from.

    Attributes:
        paths: Manifests: files and folders.
        access: The cluster beneath them; None for manifests alone.
        namespace: Where objects and names are that name no namespace, if the user says so.
    """

    paths: tuple[Path, ...] = ()
    access: Access | None = None
    namespace: str | None = None

    @property
    def home(self) -> str | None:
        """Where names are that name no namespace; None for ``default``."""
        return self.namespace or (self.access.namespace() if self.access is not None else None)

    def beneath(self, registry: Registry, settings: Settings) -> tuple[Document, ...]:
        """The objects of the cluster; none without one.

        Raises:
            InputError: The kubeconfig, or a setting, cannot be used.
            PluginError: A setting needs a plugin that is not there.
            UnsupportedError: It cannot be read here, or the cluster is too large.
            ApiError: The API server refuses, for example because a permission is missing.
            ApiUnreachableError: It does not answer.
        """
        return cluster_documents(self.access, registry, settings) if self.access is not None else ()

    def read(self, registry: Registry, settings: Settings, *, identify: bool = False, pick: bool = False) -> Objects:
        """Read everything; raises as `beneath` and `read_objects` do."""
        return self.judge(self.beneath(registry, settings), registry, settings, identify=identify, pick=pick)

    def judge(
        self,
        beneath: Iterable[Document],
        registry: Registry,
        settings: Settings,
        *,
        identify: bool = False,
        pick: bool = False,
        earlier: Mapping[ObjectName, Pod] | None = None,
    ) -> Objects:
        """Read the manifests, and judge them together with objects that are there already."""
        home = self.home if self.access is not None and self.namespace is None else None
        return read_objects(
            self.paths,
            registry,
            settings,
            self.namespace,
            identify=identify,
            pick=pick,
            earlier=earlier,
            beneath=beneath,
            context_namespace=home,
        )

    def with_paths(self, *paths: Path) -> "Source":
        """The same with other manifests."""
        return evolve(self, paths=paths)


def cluster_documents(access: Access, registry: Registry, settings: Settings) -> tuple[Document, ...]:
    """The objects of a cluster that have a meaning here; raises as `Source.beneath` does."""
    from mnp_core.sources.kubernetes.listing import list_objects  # noqa: PLC0415 # slow to import
    from mnp_core.sources.kubernetes.resource import resources  # noqa: PLC0415 # as above

    sources = registry.addresses_from(settings.guest_addresses)
    api = access.connect()
    try:
        listed = list_objects(api, resources(tuple(registry.policy_kinds.values()), sources))
    finally:
        api.close()
    plurals = (*(kind.plural for kind in BUILT_IN_KINDS), *(source.plural for source in sources))
    for plural in plurals:
        if plural in listed.unserved:
            remark(f"Note: the cluster has no resource {plural}.")
    return listed.documents


def source_options(command: F) -> F:
    """``--cluster``, ``--kubeconfig``, ``--context`` and ``--namespace`` around ``paths``: one parameter ``origin``."""

    @wraps(command)
    def with_source(
        *args: Any,
        paths: tuple[Path, ...],
        cluster: bool,
        kubeconfig: str | None,
        kube_context: str | None,
        namespace: str | None,
        **others: Any,
    ) -> Any:
        is_meant = cluster or bool(click.get_current_context().meta.get(CLUSTER_IS_MEANT))
        if not is_meant and (kubeconfig is not None or kube_context is not None):
            raise click.UsageError("--kubeconfig and --context are about a cluster: add --cluster.")
        access = _access(kubeconfig, kube_context) if is_meant else None
        return command(*args, origin=Source(paths=paths, access=access, namespace=namespace), **others)

    decorated = namespace_option(with_source)
    decorated = _kubeconfig_option(_context_option(decorated))
    return cast("F", click.option("--cluster", is_flag=True, help=_CLUSTER_HELP)(decorated))


def paths_or_cluster(command: F) -> F:
    """Refuse a call that names neither manifests nor a cluster. Goes around a command with an ``origin``."""

    @wraps(command)
    def with_some(*args: Any, origin: Source, **others: Any) -> Any:
        if not origin.paths and origin.access is None:
            raise click.UsageError("Missing argument 'PATH...': name manifests, or ask a cluster with --cluster.")
        return command(*args, origin=origin, **others)

    return cast("F", with_some)


def _access(kubeconfig: str | None, context: str | None) -> Access:
    if kubeconfig == "" or context == "":
        raise click.UsageError("--kubeconfig and --context need a value that is not empty, or none at all.")
    return Access(kubeconfig=kubeconfig, context=context)


_CLUSTER_HELP = "Take the objects of a live cluster; manifests count as if they were applied to it."
_kubeconfig_option = click.option(
    "--kubeconfig", metavar="FILE", help="The way to the cluster. [default: $KUBECONFIG, else ~/.kube/config]"
)
_context_option = click.option("--context", "kube_context", metavar="NAME", help="Of the kubeconfig.")
