"""Simulations with known truth for the benchmark of monitoring."""
