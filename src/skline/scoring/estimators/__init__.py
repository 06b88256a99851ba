"""Readers of fitted scikit-learn estimators; each returns an EstimatorPlan."""
