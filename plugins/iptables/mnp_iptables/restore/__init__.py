"""Rulesets in the kernel: compiled by ``iptables-restore`` elsewhere, written and read without any program in the pod.

One path for both variants. `compiler` runs the variant's ``*-restore`` in an empty network namespace, once for each
ruleset, and reads the result back. `nft` and `legacy` write these bytes into a pod and read them there: nf_tables
messages, and the table of the legacy interface.
"""
