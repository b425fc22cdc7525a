"""Objects as a stream of changes: from manifests on disk, from the Kubernetes API.

`decode` turns a decoded object from any source into a change. A source reads, watches and hands on the objects that it
finds; their meaning is not its concern.
"""
