"""The model: preprocessing and estimator in ONE Pipeline, so that training and serving cannot differ.

`train.params` in params.yaml sets its parameters, as step__parameter: value.
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

    The categories are the first columns, because the estimator identifies them by position. A category that is not in
    the training part is encoded as missing; at each split the trees send missing values to the side that they learned,
    or to the larger child. The month is not a feature: the training part ends in July, and with the month the ROC AUC
    on the validation part (August) was 0.644 instead of 0.668.
    """
    groups = contract.feature_groups()
    categories = groups["category"]
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        max_categories=254,  # the maximum of the estimator
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
