"""Exact scoring of fitted pipelines without DataFrames: `planning` builds a plan and decides whether it is used."""
