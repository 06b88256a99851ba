"""Sources of tables: a file on disk, at an fsspec URL or inside an installed package, or a database query."""
