"""A real cluster of one node on this machine, for tests: `make testbed-up`, `make testbed-down` (docs/testbed.md)."""
