"""What is derived from the contract: its JSON form, storage types, request types, explicit parsing.

Only `table` and `derive` know pandera; the rest is what a server needs and imports nothing of it.
"""
