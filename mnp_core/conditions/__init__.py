"""Policy status: summaries of nodes, their tally by policy, and the status that follows. No I/O, no clock, no log.

A node's summary has the policies that select interfaces there, by token, and a fingerprint of all policies that it
knows. So it grows with the node's pods, not with the policies of the cluster, and still says which policies select
nothing there.
"""
