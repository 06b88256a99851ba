"""Metrics, logs and trace ids."""
