"""Settings of the node agent alone: its node, API server, logs and endpoint."""

from collections.abc import Mapping
from enum import StrEnum

from attrs import field

from mnp_core.classes import frozen
from mnp_core.settings._values import Values

DEFAULT_LISTEN = "127.0.0.1:9469"
DEFAULT_AGENT_SOCKET = "/run/mnp-agent/agent.sock"
_SHORTEST_INTERVAL, _LONGEST_INTERVAL = 1.0, 240.0  # renewal takes 300
_LOCATOR_SETTINGS = ("container-runtime-endpoint", "host-prefix")


class LogFormat(StrEnum):
    """How a line of the log is written."""

    TEXT = "text"  # eyes
    JSON = "json"  # programs


class LogLevel(StrEnum):
    """The least that is worth a line of ours; of libraries it is ``warning``, or this if it is more."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@frozen(kw_only=True)
class NodeSettings:
    """How the agent of one node runs.

    Attributes:
        name: The node's name in the API, `spec.nodeName` of its pods; empty: the host name.
        kubeconfig: A kubeconfig file; empty for the pod's own ServiceAccount.
        master: URL of the API server, overrides the kubeconfig; empty: not overridden.
        sandbox_locator: Which locator finds pods' network namespaces.
        locator: Its settings by name; ``host-prefix`` is where the host's file system is mounted.
        listen: Address and port of /healthz, /readyz and /metrics; empty for none.
        agent_socket: Path of the socket for `mnp status` and others on the node; empty for none.
        log_format: Text for people or JSON.
        log_level: The lowest level that is logged.
        publish_status: Whether the node publishes a summary of its policies, for `mnp aggregate`.
        publish_interval: Seconds between two of them at least.
    """

    name: str = ""
    kubeconfig: str = ""
    master: str = ""
    sandbox_locator: str = "cri"
    locator: Mapping[str, str] = field(factory=dict)
    listen: str = DEFAULT_LISTEN
    agent_socket: str = DEFAULT_AGENT_SOCKET
    log_format: LogFormat = LogFormat.TEXT
    log_level: LogLevel = LogLevel.INFO
    publish_status: bool = False
    publish_interval: float = 20.0


def parse_node_settings(values: Values) -> NodeSettings:
    """Understand them; raises InputError."""
    told = {
        **values.texts_by_name("sandbox-locator-settings"),
        **{name: values.text(name) for name in _LOCATOR_SETTINGS},
    }
    return NodeSettings(
        name=values.text("hostname-override"),
        kubeconfig=values.text("kubeconfig"),
        master=values.text("master"),
        sandbox_locator=values.text("sandbox-locator") or "cri",
        locator={name: text for name, text in told.items() if text},
        listen=values.text("listen") if values.has("listen") else DEFAULT_LISTEN,
        agent_socket=values.text("agent-socket") if values.has("agent-socket") else DEFAULT_AGENT_SOCKET,
        log_format=values.choice("log-format", LogFormat, LogFormat.TEXT),
        log_level=values.choice("log-level", LogLevel, LogLevel.INFO),
        publish_status=values.boolean("publish-status"),
        publish_interval=values.seconds(
            "publish-interval-seconds", NodeSettings().publish_interval, _SHORTEST_INTERVAL, _LONGEST_INTERVAL
        ),
    )
