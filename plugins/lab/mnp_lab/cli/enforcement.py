"""The start of every command of `mnp lab`: an agent made of the installed plugins, and a lab to put it in."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from mnp_core.cli.options import Choice
from mnp_core.cli.terminal import Step
from mnp_core.errors import UnsupportedError
from mnp_core.plugins import Registry
from mnp_core.settings import Settings
from mnp_lab.lab import Enforcement, Lab

if TYPE_CHECKING:
    from mnp_lab.locator import LabLocator

DEFAULT_NAME = "default"
_ENFORCE, _NO = "enforce", "no"
_IN_FORCE = "in-force"
_WORKERS = 16  # most of a commit is waiting for the kernel, so more of them than cores

name_option = click.option(
    "--name", metavar="LAB", default=DEFAULT_NAME, show_default=True, envvar="MNP_LAB", help="Which lab; also MNP_LAB."
)


def open_lab(name: str, registry: Registry, progress: Step = lambda *_: None) -> Lab:
    """Go on with a lab that is up, and enforce as was chosen when it was built.

    Raises:
        InputError: There is none of that name.
        UnsupportedError: As below; so is PluginError.
    """
    options = Lab.options_of(name)
    settings = Choice.from_texts(options).settings()
    enforcement = make_enforcement(registry, settings) if is_enforced(options) else None
    return Lab.open(name, enforcement=enforcement, progress=progress)


def is_enforced(options: Mapping[str, str]) -> bool:
    """Whether a lab of which this is remembered was built with policies in force."""
    return options.get(_ENFORCE, "") != _NO


def not_enforced() -> dict[str, str]:
    """To be remembered of a lab that no policies are in force in."""
    return {_ENFORCE: _NO}


def backend_of(registry: Registry, settings: Settings) -> dict[str, str]:
    """To be remembered of a lab: the backend that is chosen now, by the settings or as the best that works here."""
    from mnp_core.backend import Backends  # noqa: PLC0415 # the agent's parts are for commands that enforce

    return {_IN_FORCE: Backends(registry, settings.backends, settings.common.features).of(()).name}


def remembered_backend(options: Mapping[str, str]) -> str | None:
    """The backend of a lab of which this is remembered; None if nothing is enforced in it."""
    return options.get(_IN_FORCE) if is_enforced(options) else None


def remembered_settings(name: str) -> Settings:
    """The settings that a lab was built with.

    Raises:
        InputError: There is none of that name, or its file of settings cannot be read any more.
    """
    return Choice.from_texts(Lab.options_of(name)).settings()


def make_enforcement(registry: Registry, settings: Settings) -> Enforcement:
    """Choose the enforcement of a lab, exactly as the agent on a node does.

    Raises:
        UnsupportedError: Not root, or this kernel lacks something.
        PluginError: A plugin that is needed is missing or broken.
        InputError: The settings do not fit the plugins.
    """
    if os.geteuid() != 0:
        raise UnsupportedError("a lab needs root, to make network namespaces: run it with sudo, or in a container")
    from mnp_core.agent.agent import Agent  # noqa: PLC0415 # as above
    from mnp_core.backend import Backends  # noqa: PLC0415 # likewise
    from mnp_core.cluster import ClusterState  # noqa: PLC0415 # likewise
    from mnp_core.sandbox.pool import SandboxPool  # noqa: PLC0415 # likewise
    from mnp_core.sources.decode import Decoder  # noqa: PLC0415 # likewise

    claimed, backends = (
        settings.enforced_types(registry.claimed_types),
        Backends(registry, settings.backends, settings.common.features),
    )
    backends.check(settings.common)

    def make_agent(locator: "LabLocator") -> Agent:
        return Agent(
            cluster=ClusterState(
                common=settings.common,
                claimed=claimed,
                peer_addresses=settings.peer_addresses,
                budgets=settings.budgets,
                logs_annotated=settings.denied.only_annotated,
            ),
            backends=backends,
            locator=locator,
            discoverers=locator.view.wrap(registry.make_discoverers()),
            pool=SandboxPool(_WORKERS),
            observe=registry.observe_outcome,
            own_addresses=settings.own_addresses,
        )

    return Enforcement(decoder=Decoder(tuple(registry.policy_kinds.values())), make_agent=make_agent)
