"""The state of the cluster as one node needs it, and the pods that a change of it affects: pure, no I/O."""
