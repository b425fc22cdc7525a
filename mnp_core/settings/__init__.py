"""The node's settings, as a file or the agent's options give them (semantics, section 7).

Parsing is pure: the text of custom rule files is asked for through a function, so that nothing here opens a file.
A setting that is not understood is an error, never left out: it may have been meant to close something.
"""

from mnp_core.settings._denied import DeniedSettings, LogDenied
from mnp_core.settings._gates import AtLimit, GateSettings, UnclaimedInterfaces
from mnp_core.settings._node import DEFAULT_AGENT_SOCKET, LogFormat, LogLevel, NodeSettings
from mnp_core.settings._settings import Read, Settings, parse_settings

__all__ = [
    "DEFAULT_AGENT_SOCKET",
    "AtLimit",
    "DeniedSettings",
    "GateSettings",
    "LogDenied",
    "LogFormat",
    "LogLevel",
    "NodeSettings",
    "Read",
    "Settings",
    "UnclaimedInterfaces",
    "parse_settings",
]
