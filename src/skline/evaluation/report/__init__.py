"""The evaluation report: one HTML file without scripts or outside resources."""
