"""The logs: predictions with their inputs (`predictions`), and the true values that arrive later (`labels`).

The service writes through `writer.PredictionLog` and `labels.LabelLog`; everything else reads through `read`. Modules
that the service imports must not import pandas or pyarrow.
"""
