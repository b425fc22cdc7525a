"""What plugin authors test with; public, and what this project's own plugins are tested with.

| module | what it has |
|---|---|
| `conformance` | the standard tests of each sort of plugin, to inherit from (needs the extra ``mnp-core[testing]``) |
| `plugin` | the pytest plugin that goes with them: fixtures, skips without root, a summary |
| `suites` | truth table, random policies, atomicity, for an installed backend: `pytest --backend NAME` |
| `corpus`, `oracle` | policies worth trying, by name; the packets worth sending at each, and what must become of them |
| `lifecycle` | lists of states, and the lists that follow from one |
| `wired` | a pod whose interfaces lead outside, and bursts of packets through them |
| `hosts` | pods and neighbours with real sockets, wires and routers between them |
| `netns`, `nft`, `frames` | network namespaces and links, the nft program of somebody else, packets made by hand |
| `builders`, `policies` | objects, and what holds in a sandbox, in one line each |
| `apiserver` | an API server over real HTTP, with the faults of servers and networks |
| `cluster`, `fakes` | a cluster as one value; kernels in memory that refuse and forget |
| `apiserver` | an API server in this process, which fails in the ways in which servers do |
"""
