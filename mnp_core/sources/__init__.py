"""Objects as a stream of changes: from manifests on disk, from the Kubernetes API.

`decode` turns a decoded object into a change, whatever it came from. A source reads, watches and hands on what it
finds; what objects mean is none of its business.
"""
