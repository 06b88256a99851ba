"""Readers of fitted transformers, one file a family: (reading, step, matrix) → matrix."""
