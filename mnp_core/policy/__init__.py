"""What a policy means, as pure functions of the model: no I/O, no clock, no logging.

`attachments` and `membership` say what a pod is, `compile` what has to hold on its interfaces, `evaluate` what becomes
of a packet, `explain` why, and `validate` what is wrong with objects that look right one by one.
"""
