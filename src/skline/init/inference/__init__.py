"""Infer what a table holds: file dialect, kinds and roles of columns, leaks, task, split and gates."""
