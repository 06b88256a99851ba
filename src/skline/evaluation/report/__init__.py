"""The report that people look at: one HTML file that carries all it needs."""
