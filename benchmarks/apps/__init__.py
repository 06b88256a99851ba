"""Code that runs in the alternatives' own environments; of it the benchmark itself imports `clip` only."""
