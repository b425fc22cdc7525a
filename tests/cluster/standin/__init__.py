"""A stand-in for Multus, for tests alone: never use it for anything else.

Multus is the meta-plugin that gives pods their secondary interfaces. Neither it nor any other one is packaged where
this project's tests get their software from, so this does what the tests need of it, the way the de-facto standard for
multiple networks (Kubernetes Network Plumbing Working Group, v1.3) describes it: a CNI plugin that calls the default
network's plugin, then those of the NetworkAttachmentDefinitions that the pod's annotation
`k8s.v1.cni.cncf.io/networks` selects, and writes what came of it into `k8s.v1.cni.cncf.io/network-status`. As with
Multus a definition that does not exist fails the whole pod's sandbox, which the kubelet tries again.

What Multus has and this has not: a daemon, configuration files on the node as networks, `default-network`, device
plugins (`resourceName`), namespace isolation, `default-route`, readiness checks. It shares no code with what it helps
to test.
"""
