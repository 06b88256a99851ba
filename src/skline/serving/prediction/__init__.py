"""From a request's body to its response: parse, score, fall back, review, count and log."""
