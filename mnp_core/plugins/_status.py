"""The load status of each plugin."""

from enum import StrEnum

from mnp_core.classes import frozen


class State(StrEnum):
    """The result of loading a plugin."""

    LOADED = "loaded"  # everything that it offers can be used
    FAILED = "failed"  # it is broken, and contributes nothing
    SKIPPED = "skipped"  # it is for another version of the core, and was not imported
    CONFLICT = "conflict"  # something of it is claimed by another plugin too, and can be had from neither
    DISABLED = "disabled"  # by a setting; not imported


_REMEDIES = {
    State.FAILED: "Fix it, or try `pip install --upgrade {0}`; or uninstall or disable it",
    State.SKIPPED: "Without one of the two it is not used",
    State.CONFLICT: "Uninstall or disable all but one of them",
    State.DISABLED: "Take it out of the list of disabled plugins",
    State.LOADED: "",
}


@frozen(kw_only=True)
class PluginStatus:
    """One installed plugin.

    Attributes:
        name: Name of its entry point.
        distribution: Its normalised name.
        version: Of the distribution.
        state: See State.
        detail: Why it is not, or not wholly, in use; empty if it is.
        provides: Its parts in use, such as ``renderer nftables``, in the order of registration.
    """

    name: str
    distribution: str
    version: str
    state: State
    detail: str = ""
    provides: tuple[str, ...] = ()

    @property
    def remedy(self) -> str:
        """The remedy; empty if it is in use."""
        return _REMEDIES[self.state].format(self.distribution)

    def __str__(self) -> str:
        text = f"plugin {self.name} of {self.distribution} {self.version}: {self.state}"
        return f"{text}: {self.detail}. {self.remedy}." if self.detail else text
