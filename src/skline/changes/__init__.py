"""What differs between the results of two commits: metrics, gates, settings, data and code, as text for a review."""
