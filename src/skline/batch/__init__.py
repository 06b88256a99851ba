"""Scoring a table with the packaged artifact, part by part: `skline score`."""
