"""The contract of a table's columns, and what is derived from it: JSON form, dtypes, request types, parsing.

Only `table` and `derive` import pandera; a server needs none of it.
"""
