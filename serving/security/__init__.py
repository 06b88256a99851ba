"""Who may call, how often, and what is written down about it. Plain parts that work on ASGI scopes.

`guard.Guard` puts them together: one call admits a request or raises `refusals.Refused`.
"""
