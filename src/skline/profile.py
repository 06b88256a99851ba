"""What the training data looked like, in numbers small enough to travel with the model."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.spec import Column, Contract

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
#: Categories beyond the most frequent ones are counted together.
MOST_CATEGORIES = 200


def profile(rows: pa.Table, contract: Contract) -> dict[str, Any]:
    """Describe the inputs of `rows`: missing share, and quantiles or category counts."""
    columns = {column.name: _describe(rows[column.name], column) for column in contract.inputs}
    return {"rows": rows.num_rows, "columns": columns}


def _describe(values: pa.ChunkedArray, column: Column) -> dict[str, Any]:
    """Describe one column; NaN is missing too."""
    present = values.drop_null()
    if pa.types.is_floating(present.type):
        present = present.filter(pc.invert(pc.is_nan(present)))
    missing = 1 - len(present) / len(values) if len(values) else 0.0
    facts: dict[str, Any] = {"kind": column.kind, "missing": round(missing, 6)}
    if not len(present):
        return facts
    if column.kind in ("string", "boolean"):
        found = [(str(entry["values"]), entry["counts"]) for entry in pc.value_counts(present).to_pylist()]
        found.sort(key=lambda entry: -entry[1])
        facts["categories"] = dict(found[:MOST_CATEGORIES])
        facts["other"] = sum(count for _, count in found[MOST_CATEGORIES:])
    elif column.kind in ("date", "datetime"):
        ends = pc.min_max(present).as_py()
        facts["from"], facts["to"] = ends["min"].isoformat(), ends["max"].isoformat()
    else:
        numbers = present.to_numpy().astype(np.float64)
        facts["quantiles"] = {str(q): float(v) for q, v in zip(QUANTILES, np.quantile(numbers, QUANTILES), strict=True)}
        facts["mean"], facts["std"] = float(numbers.mean()), float(numbers.std())
    return facts
