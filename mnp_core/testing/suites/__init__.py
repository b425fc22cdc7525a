"""Suites of tests for a backend that is installed, chosen by the name it has as an entry point.

    pytest -p mnp_core.testing.suites.plugin --pyargs mnp_core.testing.suites --backend NAME -m "not long"

| suite | subject |
|---|---|
| `truthtable` | the public conformance suites' table: 3 x 3 pods, 6 ports, 486 probes a step |
| `differential` | random policies: a naive reading of the API, `evaluate` and packets agree |
| `atomicity` | not one packet of a denied flow passes while rules change and the agent is killed |

All of them need root, and the extra ``mnp-core[testing]``. They share `wire` and `reference`: pods in network
namespaces that the agent enforces policy on, and the naive reading. The pods' attachments are macvlan; no attachment
plugin needs to be installed.
"""
