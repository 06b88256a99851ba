"""Readers of fitted scikit-learn transformers; each converts the transformer's arithmetic to expressions of a plan."""
