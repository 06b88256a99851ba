"""What is set on the validation part once the pipeline is fitted: calibration, threshold, interval."""
