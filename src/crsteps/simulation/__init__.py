"""Synthetic exposures with known truth, for tests, the demo and benchmarks."""
