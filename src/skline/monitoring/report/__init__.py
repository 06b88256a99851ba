"""The page of a window: one HTML file without scripts or outside resources."""
