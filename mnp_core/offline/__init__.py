"""What a cluster adds to manifests before pods run: namespaces, networks, addresses; and probes between pods as values.

Pure. Offline commands (`mnp explain`, `render`, `matrix`, `validate`) and the lab (mnp-lab) share it.
"""
