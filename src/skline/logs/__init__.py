"""The logs: what was asked and answered (`predictions`), and what turned out to be true (`labels`).

The service writes through `writer.PredictionLog` and `labels.Labels`; monitoring reads through `read`. Modules that
a service needs import neither pandas nor pyarrow.
"""
