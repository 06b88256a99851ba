"""MLflow: record results, and find, download and alias registered versions."""
