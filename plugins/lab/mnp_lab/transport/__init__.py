"""Client and listener of each protocol: one module a protocol, all driven by one event loop.

A socket belongs to the network namespace in which it was made, independent of the thread that uses it later. So only
`socket()` is called inside a pod; all the rest happens on the prober's one thread, for all pods at once.
"""
