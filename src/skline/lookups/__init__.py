"""Look-ups: inputs that callers do not send come from a store, at a prediction and, as they were then, for training."""
