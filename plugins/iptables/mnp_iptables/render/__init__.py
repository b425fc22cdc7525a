"""Policy in the language of iptables and ipset: pure functions of a sandbox's policy."""
