"""Admission of requests: API keys and their scopes, rate limits, concurrency limits, response headers.

The parts work on ASGI scopes and raw headers; `guard.Guard` combines them. `transport.lifecycle` calls the guard.
"""
