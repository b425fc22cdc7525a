"""The meaning of policies, as pure functions of the model: no I/O, no clock, no logging.

`attachments` and `membership` describe a pod, `compile` gives the rules of its interfaces, `evaluate` the verdict on a
packet, `explain` the reasons, and `validate` the problems across objects.
"""
