"""The sockets that announce changes in one sandbox, by whatever applier enforces there."""

from mnp_core.api import RuleApplier, RuleWatcher
from mnp_core.sandbox.monitor import Listeners, Topic, listen_to_links


def open_listeners(applier: RuleApplier) -> Listeners:
    """Open sockets that announce later changes in the sandbox."""
    listeners = {Topic.LINKS: listen_to_links()}
    try:
        if isinstance(applier, RuleWatcher):
            listeners[Topic.RULES] = applier.watch()
    except BaseException:
        close_listeners(listeners)
        raise
    return listeners


def close_listeners(listeners: Listeners | None) -> None:
    """Close the sockets of `open_listeners`."""
    for listener in (listeners or {}).values():
        listener.close()
