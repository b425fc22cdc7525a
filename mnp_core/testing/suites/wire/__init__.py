"""Pods in network namespaces that the agent enforces policy on, and packets between them."""
