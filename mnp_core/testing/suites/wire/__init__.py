"""Pods in network namespaces that the agent polices, and packets between them."""
