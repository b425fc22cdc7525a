"""For every test of this repository, those of plugins included."""

pytest_plugins = ["mnp_core.testing.plugin"]  # fixtures, and what needs root is skipped without it
