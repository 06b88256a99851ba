"""The pipeline: it fits, and the service can score it by a plan. Both on random rows, so before any `dvc repro`."""

import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from model import contract as declared
from model.pipeline import build_pipeline
from skline import testing

CONTRACT = testing.derive_contract(declared)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return testing.random_rows(CONTRACT)


@pytest.fixture(scope="module")
def fitted(rows: pd.DataFrame) -> Pipeline:
    return testing.fit(build_pipeline, CONTRACT, rows)


def test_pipeline_fits_and_predicts(fitted: Pipeline, rows: pd.DataFrame) -> None:
    assert len(fitted.predict(rows[CONTRACT.input_names])) == len(rows)


def test_pipeline_is_planned(fitted: Pipeline, rows: pd.DataFrame) -> None:
    """By a plan the service scores a row in microseconds; without one the pipeline itself does, in milliseconds.

    The predictions are the same, so a pipeline without a plan is only reported. If you need the speed, put
    `assert scoring.path == "plan", scoring.reason` in place of the skip.
    """
    scoring = testing.scoring(fitted, CONTRACT, rows)
    if scoring.path != "plan":
        pytest.skip(f"no plan, so that scoring a row takes milliseconds: {scoring.reason}")
