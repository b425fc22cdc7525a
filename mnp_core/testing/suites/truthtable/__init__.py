"""The truth table of the public NetworkPolicy conformance suites, on a secondary network."""
