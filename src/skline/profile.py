"""What the training data looked like, in numbers small enough to travel with the model."""

from typing import Any

import numpy as np
import pandas as pd

from skline.contract.spec import Column, Contract

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
#: Categories beyond the most frequent ones are counted together.
MOST_CATEGORIES = 200


def profile(rows: pd.DataFrame, contract: Contract) -> dict[str, Any]:
    """Describe the inputs of `rows`: missing share, and quantiles or category counts."""
    columns = {column.name: _describe(rows[column.name], column) for column in contract.inputs}
    return {"rows": len(rows), "columns": columns}


def _describe(values: pd.Series, column: Column) -> dict[str, Any]:
    """Describe one column."""
    present = values.dropna()
    facts: dict[str, Any] = {"kind": column.kind, "missing": round(float(values.isna().mean()), 6)}
    if present.empty:
        return facts
    if column.kind in ("string", "boolean"):
        counts = present.value_counts()
        facts["categories"] = {str(key): int(count) for key, count in counts.head(MOST_CATEGORIES).items()}
        facts["other"] = int(counts.iloc[MOST_CATEGORIES:].sum())
    elif column.kind in ("date", "datetime"):
        facts["from"], facts["to"] = present.min().isoformat(), present.max().isoformat()
    else:
        numbers = present.to_numpy(dtype=np.float64)
        facts["quantiles"] = {str(q): float(v) for q, v in zip(QUANTILES, np.quantile(numbers, QUANTILES), strict=True)}
        facts["mean"], facts["std"] = float(numbers.mean()), float(numbers.std())
    return facts
