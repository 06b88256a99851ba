"""Releases: which model serves which requests; promotion, experiments, rollback, and the reports on experiments."""
