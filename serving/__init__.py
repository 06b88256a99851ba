"""The prediction service: generic, told by the artifact's contract what to be."""
