"""The program that runs on every node: a source, the agent and telemetry, joined by one loop."""
