"""The web page at `/`: a form for the model's inputs, the prediction, and a summary of the model."""
