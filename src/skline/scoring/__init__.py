"""From a fitted Pipeline and rows to predictions."""
