"""Find sandboxes by asking the container runtime, over the Container Runtime Interface (CRI) v1."""
