"""Random policies: a naive reading of the API, `evaluate` and packets agree."""
