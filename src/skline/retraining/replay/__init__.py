"""`skline replay`: what a policy of retraining would have done in a past period, and what other policies would have.

`outcome.py` is what a replay results in, whether it was run against a service or in process (`simulation.py`);
`comparison.py` simulates several policies on the same rows, and `report.py` shows the result.
"""
