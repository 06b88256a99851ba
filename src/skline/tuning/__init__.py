"""Tuning of a fitted pipeline on the validation part: calibration, operating threshold, prediction interval."""
