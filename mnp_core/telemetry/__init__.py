"""What operators see of a node: metrics, health, Events on the objects at fault, and logs.

It is told what happened and says so; it decides nothing, and whoever tells it does not wait for it. Nothing here knows
the agent or the sources: `Telemetry` is what the node's loop calls.
"""

from mnp_core.telemetry.telemetry import Telemetry as Telemetry
