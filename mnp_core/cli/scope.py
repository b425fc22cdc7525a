"""Which network namespaces of this machine a command is about: all, or those of some pods, or some by their paths."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from mnp_core.api import Sandbox
from mnp_core.classes import frozen
from mnp_core.cli.names import parse_object_name
from mnp_core.cli.terminal import remark
from mnp_core.errors import InputError, SandboxNotFoundError
from mnp_core.sandbox.enumerate import list_sandboxes
from mnp_core.sandbox.netns import identify, is_hosts_own

F = TypeVar("F", bound=Callable[..., Any])


@frozen(kw_only=True)
class Scope:
    """The selected network namespaces.

    Attributes:
        netns: Paths of network namespaces.
        pods: Namespaces and names of pods.
        namespaces: Of pods.
        settings: The endpoint of the container runtime, and the mount point of the host's file system.
    """

    netns: tuple[Path, ...]
    pods: tuple[str, ...]
    namespaces: tuple[str, ...]
    settings: Mapping[str, str]

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows it down."""
        return not (self.netns or self.pods or self.namespaces)

    def sandboxes(self) -> dict[Sandbox, str]:
        """The network namespaces, each once, with a display name.

        Raises:
            InputError: A named one does not exist, or is the host's own.
            SandboxError: The container runtime does not answer.
        """
        if self.is_everything:
            found = list_sandboxes(self.settings.get("host-prefix", ""), lambda error: remark(f"Warning: {error}"))
            return {sandbox: sandbox.path for sandbox in found}
        return {**self._by_path(), **self._of_pods()}

    def _by_path(self) -> dict[Sandbox, str]:
        found = {}
        for path in self.netns:
            try:
                sandbox = identify(str(path))
            except SandboxNotFoundError as error:
                raise InputError(str(error)) from error
            if is_hosts_own(sandbox):
                raise InputError(f"{path} is the host's own network namespace, which is never touched")
            found[sandbox] = str(path)
        return found

    def _of_pods(self) -> dict[Sandbox, str]:
        wanted = [(name.namespace, name.name) for name in map(parse_object_name, self.pods)]
        found: dict[Sandbox, str] = {}
        for namespace, name in [*wanted, *((namespace, "") for namespace in self.namespaces)]:
            running = dict(self._running(namespace, name))
            if not running:
                raise InputError(
                    f"the container runtime runs no pod {namespace}/{name or '*'} with a network of its own"
                )
            found |= running
        return found

    def _running(self, namespace: str, name: str) -> Iterator[tuple[Sandbox, str]]:
        from mnp_core.sandbox.cri.locator import make_cri_locator  # noqa: PLC0415 # needed for names of pods only

        for pod, sandbox in make_cri_locator(self.settings).running(namespace, name):
            yield sandbox, f"{pod} ({sandbox.path})"


def scope_options(command: F) -> F:
    """``--pod``, ``--namespace`` and ``--netns``."""
    decorators = (
        click.option("--pod", "pods", metavar="NAMESPACE/POD", multiple=True, help="Only this pod; may be repeated."),
        click.option(
            "--namespace", "-n", "namespaces", metavar="NAMESPACE", multiple=True, help="Only the pods in it; likewise."
        ),
        click.option(
            "--netns",
            type=click.Path(path_type=Path),
            multiple=True,
            help="Only this network namespace, for example /run/netns/x; likewise.",
        ),
        click.option(
            "--container-runtime-endpoint",
            "endpoint",
            metavar="PATH",
            default="",
            help="Socket of the container runtime, which knows pods. [default: the first usual one that is there]",
        ),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command
