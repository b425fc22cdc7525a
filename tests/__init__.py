"""Tests of the core and of all parts together. A package, so that no other folder called tests is taken for it."""
