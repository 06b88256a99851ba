"""Where tables come from: a file on disk, behind any fsspec URL, or inside an installed package, or a query."""
