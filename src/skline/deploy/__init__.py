"""Deployment files: `skline deploy init` writes templates into a project, which owns them from then on."""
