"""The workload as a service's author would write it down: a pydantic row, the pipeline, a DataFrame."""

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from pydantic import BaseModel, create_model

FOLDER = Path(os.environ["BENCHMARK_WORKLOAD"])
COLUMNS = json.loads((FOLDER / "columns.json").read_text())
TYPES: dict[str, Any] = {
    "integer": int,
    "number": float,
    "boolean": bool,
    "string": str,
    "date": dt.date,
    "datetime": dt.datetime,
}


def row_type() -> type[BaseModel]:
    """A pydantic model with one typed field a column."""
    fields: dict[str, Any] = {
        c["name"]: (TYPES[c["kind"]] | None, None) if c["nullable"] else (TYPES[c["kind"]], ...) for c in COLUMNS
    }
    return create_model("Row", **fields)


def load_pipeline() -> Any:
    """The fitted pipeline."""
    return joblib.load(FOLDER / "pipeline.joblib")


def probabilities(pipeline: Any, rows: list[BaseModel]) -> list[list[float]]:
    """Score rows by way of a DataFrame; one list a row."""
    answer: list[list[float]] = pipeline.predict_proba(pd.DataFrame([row.model_dump() for row in rows])).tolist()
    return answer
