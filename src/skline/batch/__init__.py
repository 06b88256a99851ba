"""Batch scoring: a table of any length is scored part by part with the packaged artifact (`skline score`)."""
