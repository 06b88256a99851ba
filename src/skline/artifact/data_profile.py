"""The data profile: a summary of the training data, small enough to be part of the artifact."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.spec import Column, Contract

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
#: The counts of rarer categories are added up.
MAX_CATEGORIES = 200


def profile(rows: pa.Table, contract: Contract) -> dict[str, Any]:
    """Summarise the inputs of `rows`: share of missing values, and quantiles, category counts or time span."""
    columns = {column.name: _describe(rows[column.name], column) for column in contract.inputs}
    return {"rows": rows.num_rows, "columns": columns}


def _describe(values: pa.ChunkedArray, column: Column) -> dict[str, Any]:
    """Summarise one column; NaN counts as missing."""
    present = values.drop_null()
    if pa.types.is_floating(present.type):
        present = present.filter(pc.invert(pc.is_nan(present)))
    missing = 1 - len(present) / len(values) if len(values) else 0.0
    summary: dict[str, Any] = {"kind": column.kind, "missing": round(missing, 6)}
    if not len(present):
        return summary
    if column.kind in ("string", "boolean"):
        counts = [(str(entry["values"]), entry["counts"]) for entry in pc.value_counts(present).to_pylist()]
        counts.sort(key=lambda entry: -entry[1])
        summary["categories"] = dict(counts[:MAX_CATEGORIES])
        summary["other"] = sum(count for _, count in counts[MAX_CATEGORIES:])
    elif column.kind in ("date", "datetime"):
        ends = pc.min_max(present).as_py()
        summary["from"], summary["to"] = ends["min"].isoformat(), ends["max"].isoformat()
    else:
        numbers = present.to_numpy().astype(np.float64)
        summary["quantiles"] = {
            str(q): float(v) for q, v in zip(QUANTILES, np.quantile(numbers, QUANTILES), strict=True)
        }
        summary["mean"], summary["std"] = float(numbers.mean()), float(numbers.std())
    return summary
