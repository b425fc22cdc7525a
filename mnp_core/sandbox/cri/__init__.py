"""Find sandboxes through the container runtime, over the Container Runtime Interface (CRI) v1."""
