"""Ipsets: names and types, the kernel's interface, and the versions that rules refer to."""
