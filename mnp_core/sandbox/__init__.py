"""Pods' network namespaces: identify, enter, read the links, create."""
