"""What must hold of src/model, whatever it is about: edit it, and add what must hold of yours."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from model import contract as declared
from model.pipeline import build_pipeline
from skline.contract.derive import derive_module
from skline.contract.frames import to_storage
from skline.contract.requests import Rows
from skline.contract.spec import Column
from skline.stages.train import train

CONTRACT = derive_module(declared)
N_ROWS = 120
START = dt.datetime(2024, 1, 1)


def drawn(column: Column, random: np.random.Generator) -> Any:
    """Values that the column's rules allow, a tenth of them missing where they may be; patterns get the example."""
    values: list[Any]
    low, high = column.minimum, column.maximum
    if column.role == "target" and CONTRACT.classes is not None:
        values = [CONTRACT.classes[index % len(CONTRACT.classes)] for index in range(N_ROWS)]
    elif column.choices is not None:
        values = random.choice(np.array(column.choices, dtype=object), N_ROWS).tolist()
    elif column.kind == "boolean":
        values = random.choice([True, False], N_ROWS).tolist()
    elif column.kind == "string":
        values = [column.example if column.pattern else f"{column.example or 'text'} {i % 7}" for i in range(N_ROWS)]
    elif column.kind in ("date", "datetime"):
        start = START if low is None else dt.datetime.fromisoformat(str(low))
        values = [start + dt.timedelta(days=int(days)) for days in random.integers(0, 300, N_ROWS)]
    else:
        middle = float(column.example or 1)
        spread = random.uniform(-1, 1, N_ROWS) * (abs(middle) + 1)
        values = np.clip(
            middle + spread, -np.inf if low is None else float(low), np.inf if high is None else float(high)
        )
        values = np.round(values).tolist() if column.kind == "integer" else list(values)
    if column.nullable:
        values = [
            None if missing else value for value, missing in zip(values, random.random(N_ROWS) < 0.1, strict=True)
        ]
    return to_storage(values, column.storage)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    random = np.random.default_rng(17)
    return pd.DataFrame({column.name: drawn(column, random) for column in CONTRACT.columns})


def test_the_contracts_own_example_is_accepted() -> None:
    example = {column.name: column.example for column in CONTRACT.inputs}
    assert Rows(CONTRACT).one.validate_python(example, strict=False).keys() == example.keys()


def test_leaks_and_the_target_cannot_reach_fit(rows: pd.DataFrame) -> None:
    seen: list[list[str]] = []

    class Spy(BaseEstimator):  # type: ignore[misc]
        def fit(self, X: pd.DataFrame, y: Any) -> "Spy":
            seen.append(list(X.columns))
            return self

    train(rows.assign(**dict.fromkeys(CONTRACT.leaks, 1.0)), CONTRACT, lambda _: Spy(), {}, seed=17)
    assert seen == [CONTRACT.input_names]
    assert not set(seen[0]) & {*CONTRACT.leaks, CONTRACT.target.name}


def test_the_pipeline_fits_and_answers_rows_of_the_contract(rows: pd.DataFrame) -> None:
    pipeline = train(rows, CONTRACT, build_pipeline, {}, seed=17)
    answers = pipeline.predict(rows[CONTRACT.input_names])
    assert len(answers) == N_ROWS
    if CONTRACT.classes is None:
        assert np.isfinite(answers).all()
    else:
        assert set(answers.tolist()) <= set(CONTRACT.classes)
