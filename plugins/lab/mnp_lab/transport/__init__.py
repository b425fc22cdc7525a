"""How each protocol asks and answers: one module a protocol, all driven by one event loop.

A socket belongs to the network namespace in which it was made, whatever thread uses it later. So only `socket()` is
called inside a pod; everything else happens on the prober's one thread, for all pods at once.
"""
