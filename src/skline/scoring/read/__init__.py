"""Readers of fitted transformers, one file a family; each takes (reading, step, matrix) and returns a matrix."""
