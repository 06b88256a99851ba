"""Request and response formats of other serving systems, on top of the same validation, models, metrics and log.

Each protocol is a module of pure functions, `parse` and `render`; its routes are in `skline.serving.api`.
"""
