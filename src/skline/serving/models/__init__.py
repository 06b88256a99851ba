"""A loaded model: its scorer and its responses."""
