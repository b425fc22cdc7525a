"""Reactions to errors of the API server."""

from mnp_core.classes import frozen
from mnp_core.errors import ApiError, ApiUnreachableError
from mnp_core.kubeapi.server import TooLargeError
from mnp_core.sources.kubernetes.codec import GarbledError
from mnp_core.sources.kubernetes.resource import Resource

_OVERLOADED = 429


@frozen(kw_only=True)
class WatchError:
    """An error, as the watcher has to take it.

    Attributes:
        cause: See `SourceObserver.watch_restarted`.
        sentence: The problem and the remedy, if there is one.
        refused: Whether it lacks permission.
        relist: Whether everything has to be listed again.
        rediscover: Whether the resource is not where it was.
        pause: Seconds that the server asks to be left alone for.
    """

    cause: str
    sentence: str
    refused: bool = False
    relist: bool = False
    rediscover: bool = False
    pause: float = 0.0


def classify(error: ApiError | ApiUnreachableError, resource: Resource, verb: str) -> WatchError:
    """Judge an error of a request.

    Args:
        error: The error.
        resource: The requested resource.
        verb: ``list``, ``watch``, or ``discover`` for the served resources.
    """
    if isinstance(error, ApiError):
        return _refusal(error, resource, verb)
    if isinstance(error, TooLargeError):
        remedy = f"look for objects of this kind that are so large (kubectl get {resource.plural} -A -o json)"
        return WatchError(cause="oversized", sentence=f"{error}: {remedy}")
    if isinstance(error, GarbledError):
        return WatchError(cause="garbled", sentence=str(error))
    return WatchError(cause="stalled" if error.timed_out else "cut", sentence=str(error))


def is_unknown_field(error: ApiError | ApiUnreachableError) -> bool:
    """Whether the server does not know a field of a field selector (k8s.io/apimachinery, ConvertFieldLabel)."""
    return isinstance(error, ApiError) and error.status == 400 and "field label not supported" in error.message


def _refusal(error: ApiError, resource: Resource, verb: str) -> WatchError:
    if error.status in (401, 403):
        return WatchError(cause="refused", sentence=_permission(error, resource, verb), refused=True)
    if error.status == 404 and verb != "discover":
        return WatchError(cause="unserved", sentence=str(error), rediscover=True)
    if error.status == 410 or error.reason in ("Expired", "Gone"):
        return WatchError(cause="gone", sentence=str(error), relist=True)
    # Of a request with another client error, only the resourceVersion can change.
    ours = 400 <= error.status < 500 and error.status not in (408, _OVERLOADED)
    return WatchError(cause="unavailable", sentence=str(error), relist=ours, pause=error.retry_after or 0.0)


def _permission(error: ApiError, resource: Resource, verb: str) -> str:
    if error.status == 401:
        remedy = "its token or certificate is not valid (any more): give it another"
        return f"the API server does not know who this agent is: {remedy} ({error.message})"
    if verb == "discover":
        remedy = "bind its ServiceAccount to the ClusterRole system:discovery"
        return f"the agent may not read which kinds are served: {remedy} ({error.message})"
    rule = f'apiGroups: ["{resource.group}"], resources: ["{resource.plural}"], verbs: ["get", "list", "watch"]'
    group = f"API group {resource.group}" if resource.group else "the core API group"
    missing = f"the agent may not {verb} {resource.plural} in {group}"
    return f"{missing}: give its ClusterRole the rule {rule} ({error.message})"
