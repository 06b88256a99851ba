"""Monitoring: reads the prediction log, the labels and the artifact, and tells whether the model still holds.

The statistics are functions of arrays; `run` puts them together for one window and writes its result. The service does
not import this package.
"""
