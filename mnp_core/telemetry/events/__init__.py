"""Kubernetes Events on the objects at fault, so that ``kubectl describe`` shows what is wrong with them.

They are Events of ``v1``, not of ``events.k8s.io/v1``: those are what every ``kubectl describe`` asks for, and an API
server shows them under either name.
"""

from mnp_core.telemetry.events.event import Identity as Identity
from mnp_core.telemetry.events.recorder import EventRecorder as EventRecorder
