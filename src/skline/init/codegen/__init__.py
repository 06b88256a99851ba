"""Render the files that `skline init` writes: contract, source, pipeline and params."""
