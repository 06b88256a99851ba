"""Search for better parameters of the pipeline (`train.search` in params.yaml): bounded and reproducible."""
