"""Lineage: from a prediction back to its model, code and data, and from data or a model to the predictions.

Everything is read from what the project records anyway: the logs, the artifacts' manifests, releases/, dvc.lock, git
and MLflow. The service never imports this package.
"""
