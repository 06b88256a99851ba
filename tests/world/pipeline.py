"""The model: preprocessing and estimator in ONE Pipeline, so that training and serving cannot differ.

Parameters are set from `train.params` in params.yaml, as step__parameter: value.
"""

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

from skline.contract.spec import Contract
from skline.features import TimeFeatures, minutes_of_day


def build_pipeline(contract: Contract) -> Pipeline:
    """Build the unfitted pipeline for the contract's inputs.

    Categories come first, so that the estimator knows them by position. A category that training never saw
    is encoded as missing, which the trees handle: they learned a side for it, or go with the larger child.
    The month is no feature: training ends in July, and with it the validation part of August scored a ROC-AUC
    of 0.644 instead of 0.668.
    """
    groups = contract.feature_groups()
    categories = groups["category"]
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        max_categories=254,  # the estimator takes no more
        dtype=np.float64,
    )
    columns = ColumnTransformer(
        [
            ("category", encoder, categories),
            ("date", TimeFeatures(parts=("weekday",)), groups["date"]),
            ("clock", FunctionTransformer(minutes_of_day), groups["clock"]),
            ("number", "passthrough", groups["number"]),
        ]
    )
    model = HistGradientBoostingClassifier(categorical_features=list(range(len(categories))), early_stopping=False)
    return Pipeline([("columns", columns), ("model", model)])
