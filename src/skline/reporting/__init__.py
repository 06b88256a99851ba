"""HTML pages, and the format of numbers in reports."""
