"""Kubernetes Events on the objects at fault, so that ``kubectl describe`` shows their problems.

They are Events of ``v1``, not of ``events.k8s.io/v1``: every ``kubectl describe`` lists the former, and an API server
serves them in either group.
"""

from mnp_core.telemetry.events.event import Identity as Identity
from mnp_core.telemetry.events.recorder import EventRecorder as EventRecorder
