"""skline turns a table into a served scikit-learn model and keeps that model true afterwards."""
