"""Measurements of speed and of the default pipelines, against alternatives; each script is one command."""
