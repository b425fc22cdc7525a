"""Telemetry of a node: metrics, health, Events on the objects at fault, and logs.

It reports observations, makes no decisions and never blocks its callers. It does not depend on the agent or the
sources: the node's observer calls each `Sink`.
"""

from mnp_core.telemetry.sink import Sink as Sink
