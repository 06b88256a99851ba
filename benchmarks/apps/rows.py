"""The workload as the author of a service would write it: a pydantic row, the pipeline, a DataFrame."""

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
    """Create a pydantic model with a typed field for each column."""
    fields: dict[str, Any] = {
        c["name"]: (TYPES[c["kind"]] | None, None) if c["nullable"] else (TYPES[c["kind"]], ...) for c in COLUMNS
    }
    return create_model("Row", **fields)


def load_pipeline() -> Any:
    """Load the fitted pipeline."""
    return joblib.load(FOLDER / "pipeline.joblib")


def probabilities(pipeline: Any, rows: list[BaseModel]) -> list[list[float]]:
    """Score rows as a DataFrame; return a list for each row."""
    scored: list[list[float]] = pipeline.predict_proba(pd.DataFrame([row.model_dump() for row in rows])).tolist()
    return scored
