"""Write src/model/pipeline.py: the default preprocessing and estimator for a contract."""

from skline.contract.spec import Contract

TEMPLATE = '''"""The model: preprocessing and estimator in ONE Pipeline, so that training and serving cannot differ.

Parameters are set from `train.params` in params.yaml, as step__parameter: value.
"""

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import {estimator}
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from skline.contract.spec import Contract
from skline.features import TimeFeatures


def build_pipeline(contract: Contract) -> Pipeline:
    """Build the unfitted pipeline for the contract's inputs.

    Categories come first, so that the estimator knows them by position. A category that training never saw
    is encoded as missing, which the trees handle: they learned a side for it, or go with the larger child.
    """
    groups = contract.feature_groups()
    categories = [name for group in ("category", "many_categories", "text") for name in groups.get(group, [])]
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
            ("date", TimeFeatures(parts=("year", "month", "weekday", "days")), groups.get("date", [])),
            ("datetime", TimeFeatures(parts=("year", "month", "weekday", "hour", "days")), groups.get("datetime", [])),
            ("number", "passthrough", [*groups.get("number", []), *groups.get("boolean", [])]),
        ]
    )
    model = {estimator}(categorical_features=list(range(len(categories))), early_stopping=False)
    return Pipeline([("columns", columns), ("model", model)])
'''


def pipeline_source(contract: Contract) -> str:
    """Return the text of src/model/pipeline.py for the contract's task and feature groups."""
    regression = contract.task == "regression"
    return TEMPLATE.format(
        estimator="HistGradientBoostingRegressor" if regression else "HistGradientBoostingClassifier"
    )
