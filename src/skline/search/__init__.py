"""A bounded, reproducible search for better parameters of the pipeline (`train.search` in params.yaml)."""
