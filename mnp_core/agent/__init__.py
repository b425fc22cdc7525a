"""The running node: what is known, what a change affects, and bringing it into force."""
