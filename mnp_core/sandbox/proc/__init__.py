"""Find sandboxes without the container runtime: by the control groups of processes."""
