"""Benchmarks: CPU time of this process, ratios in one run. Never part of the tests."""
