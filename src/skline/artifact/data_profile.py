"""The data profile: a summary of the training data, small enough to be part of the artifact."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skline.contract.spec import Column, Contract

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
#: The counts of rarer categories are added up.
MAX_CATEGORIES = 200


def profile(rows: pa.Table, contract: Contract) -> dict[str, Any]:
    """Summarise the inputs of `rows`: share of missing values, and quantiles, category counts or time span."""
    columns = {column.name: _describe(rows[column.name], column) for column in contract.inputs}
    return {"rows": rows.num_rows, "columns": columns}


def profile_file(path: Path, contract: Contract) -> dict[str, Any]:
    """Return `profile` of the rows of a Parquet file, of which one column at a time is in memory."""
    with pq.ParquetFile(path) as file:
        columns = {each.name: _describe(file.read([each.name])[each.name], each) for each in contract.inputs}
        return {"rows": file.metadata.num_rows, "columns": columns}


def _describe(values: pa.ChunkedArray, column: Column) -> dict[str, Any]:
    """Summarise one column; NaN counts as missing."""
    present = values.drop_null()
    if pa.types.is_floating(present.type):
        present = present.filter(pc.invert(pc.is_nan(present)))
    missing = 1 - len(present) / len(values) if len(values) else 0.0
    summary: dict[str, Any] = {"kind": column.kind, "missing": round(missing, 6)}
    if not len(present):
        return summary
    if column.kind == "boolean":
        present = present.cast(pa.bool_())  # with missing cells it is stored as floats
    if column.kind in ("string", "boolean"):
        counts = [(str(entry["values"]), entry["counts"]) for entry in pc.value_counts(present).to_pylist()]
        counts.sort(key=lambda entry: -entry[1])
        summary["categories"] = dict(counts[:MAX_CATEGORIES])
        summary["other"] = sum(count for _, count in counts[MAX_CATEGORIES:])
    elif column.kind in ("date", "datetime"):
        ends = pc.min_max(present).as_py()
        summary["from"], summary["to"] = ends["min"].isoformat(), ends["max"].isoformat()
    else:
        summary |= _describe_numbers(present.to_numpy().astype(np.float64))
    return summary


def _describe_numbers(numbers: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return quantiles, mean and standard deviation of at least one number; none of them overflows.

    The numbers are divided by a power of two, which changes no digit of theirs: differences of doubles, and their
    squares, can be beyond what a double holds.
    """
    low, high = float(numbers.min()), float(numbers.max())
    exponent = int(np.frexp(max(abs(low), abs(high)))[1])
    scaled = np.ldexp(numbers, -exponent)
    inner = np.ldexp(np.quantile(scaled, QUANTILES[1:-1]), exponent).tolist()
    return {
        "quantiles": {str(q): v for q, v in zip(QUANTILES, (low, *inner, high), strict=True)},
        "mean": float(np.ldexp(scaled.mean(), exponent)),
        "std": float(np.ldexp(scaled.std(), exponent)),
    }
