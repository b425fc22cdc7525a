"""Test tools for plugin authors, public; the plugins of this project are tested with them.

| module | contents |
|---|---|
| `conformance` | the standard tests of each sort of plugin, to inherit from (needs the extra ``mnp-core[testing]``) |
| `plugin` | the pytest plugin that goes with them: fixtures, skips without root, a summary |
| `suites` | truth table, random policies, atomicity, for an installed backend: `pytest --backend NAME` |
| `corpus`, `oracle` | edge-case policies by name; the packets to send at each, with the expected verdicts |
| `lifecycle` | lists of states, and the lists that follow from one |
| `wired`, `sending` | a pod whose interfaces lead outside, and bursts of packets through them |
| `hosts` | pods and neighbours with real sockets, wires and routers between them |
| `netns`, `nft`, `frames` | network namespaces and links, the nft program of another user, packets made by hand |
| `builders`, `policies` | objects, and rules of a sandbox, in one line each |
| `apiserver` | an API server over real HTTP, with the faults of servers and networks |
| `cluster`, `fakes` | a cluster as one value; kernels in memory that refuse and forget |
"""
