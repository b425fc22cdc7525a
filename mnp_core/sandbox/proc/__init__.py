"""Find sandboxes without a word from the container runtime: by the control groups of processes."""
