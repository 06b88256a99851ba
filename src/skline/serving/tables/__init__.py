"""Batches as tables: Arrow IPC streams and Parquet, read and scored by columns. Only this package needs pyarrow."""
