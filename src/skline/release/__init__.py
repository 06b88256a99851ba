"""Releases: which model answers whom, and how that is changed and taken back."""
