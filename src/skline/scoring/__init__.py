"""Exact scoring of fitted pipelines without DataFrames; see `plan` and `scorer`."""
