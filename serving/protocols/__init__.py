"""Other people's clients: their requests become rows that /predict would take, their answers come from the same scores.

Each protocol is a module of pure functions, `parse` and `render`, and a router that joins them to a `Service`.
"""
