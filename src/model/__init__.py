"""The project's own code: the columns, how they are derived from the source, and the pipeline."""
