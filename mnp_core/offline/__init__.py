"""Additions of a cluster to manifests before pods run: namespaces, networks, addresses; and probes as values.

Pure. Offline commands (`mnp explain`, `render`, `matrix`, `validate`) and the lab (mnp-lab) share it.
"""
