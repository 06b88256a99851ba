"""Canaries, A/B tests and shadow models in the running service."""
