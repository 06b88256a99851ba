"""Following the release manifest, or the artifact, and replacing the model that is served."""
