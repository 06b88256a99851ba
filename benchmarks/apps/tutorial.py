"""A model behind FastAPI as tutorials write it."""

from typing import Any

from fastapi import FastAPI

from benchmarks.apps.rows import load_pipeline, probabilities, row_type

Row = row_type()
app = FastAPI()
pipeline = load_pipeline()


@app.post("/predict")
def predict(row: Row) -> dict[str, Any]:
    """Score one row."""
    return {"probabilities": probabilities(pipeline, [row])[0]}


@app.post("/predict/batch")
def predict_batch(rows: list[Row]) -> dict[str, Any]:
    """Score many rows."""
    return {"probabilities": probabilities(pipeline, rows)}
