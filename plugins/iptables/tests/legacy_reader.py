"""Print the legacy rules of this network namespace as python-iptables reads them: a program, as it must stay one.

It runs in a process of its own for the reasons that the plugin's README names.
"""

import json
import sys

import iptc


def rules(table):
    """Chain and parts of each rule, in order."""
    for chain in table.chains:
        for rule in chain.rules:
            yield {
                "chain": chain.name,
                "source": rule.src,
                "destination": rule.dst,
                "in": rule.in_interface,
                "out": rule.out_interface,
                "protocol": rule.protocol,
                "matches": [[match.name, match.parameters] for match in rule.matches],
                "target": rule.target.name,
                "parameters": rule.target.get_all_parameters() if rule.target.name == "REJECT" else {},
                "goto": bool(rule.target.goto),
            }


if __name__ == "__main__":
    tables = {"4": iptc.Table, "6": iptc.Table6}
    json.dump({family: list(rules(tables[family](sys.argv[1]))) for family in tables}, sys.stdout)
