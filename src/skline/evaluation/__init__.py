"""How good the model is: metrics, baselines, segments, and points for plots."""
