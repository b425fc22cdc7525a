"""The running node: its state, the effects of a change, and their enforcement."""
