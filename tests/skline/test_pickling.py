"""Tests of pipelines that cannot be saved: one line names the step and what to do."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skline.errors import SklineError
from skline.pickling import require_picklable


def pipeline(function: Callable[..., Any]) -> Pipeline:
    log = make_pipeline(FunctionTransformer(function))
    return Pipeline([("columns", ColumnTransformer([("log", log, ["x"])])), ("model", Ridge())])


def double(values: Any) -> Any:
    return values * 2


def test_pipeline_of_importable_functions_can_be_saved() -> None:
    require_picklable(pipeline(np.log1p))
    require_picklable(pipeline(double))


def test_lambda_or_local_function_is_named_with_its_step() -> None:
    def shift(values: Any) -> Any:
        return values + 1

    step = "^the step 'columns__log__functiontransformer' of src/model/pipeline.py cannot be saved, because its func is"
    for function, name in ((lambda values: values, "a lambda"), (shift, "the local function shift")):
        with pytest.raises(SklineError, match=rf"{step} {name}; define it with `def` at the top level of a module in "):
            require_picklable(pipeline(function))


def test_other_value_that_cannot_be_saved_is_named_with_its_step() -> None:
    with pytest.raises(
        SklineError, match=r"^the step 'columns__log__functiontransformer' of .* cannot pickle '_thread"
    ):
        require_picklable(pipeline(partial(double, threading.Lock())))


def test_fitted_attribute_that_cannot_be_saved_is_reported() -> None:
    fitted = pipeline(double)
    fitted.named_steps["model"].lock_ = threading.Lock()
    with pytest.raises(SklineError, match=r"^the step 'model' of src/model/pipeline.py cannot be saved: cannot pickle"):
        require_picklable(fitted)
