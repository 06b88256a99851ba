"""Check whether the test part is independent of the training part, and whether it has the same distribution."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline.contract.spec import Column, Contract
from skline.evaluation.bootstrap import confidence_intervals, metric_value
from skline.evaluation.resampling import BinarySample
from skline.evaluation.rows import Rows

Keys = npt.NDArray[np.uint64]
#: Resamples behind the interval of the adversarial AUC.
RESAMPLES = 200


def count_duplicates(train: Rows, test: Rows, contract: Contract) -> dict[str, Any]:
    """Count test rows that are in the training part too.

    Returns
    -------
    dict with `exact`, the share of test rows equal to a training row in every input; `near`, the share equal to one in
    all inputs or all but one; `but`, for each input, the share that differs from a training row in this input only; and
    `ids`, for each id and group column, the number of values that are in both parts.
    """
    in_train, in_test = _row_keys(train, contract), _row_keys(test, contract)
    exact = _contains(in_train, in_test)
    differing = {}
    for number, column in enumerate(contract.inputs):
        with np.errstate(over="ignore"):  # a row's key is the sum of one digest for each input
            without = in_train - _digests(train, column, number), in_test - _digests(test, column, number)
        differing[column.name] = _contains(*without) & ~exact
    several = len(contract.inputs) > 1
    near = np.zeros(test.n_rows, dtype=bool)
    if several:
        near = np.logical_or.reduce(list(differing.values()))
    shared = {
        column.name: len(np.intersect1d(_values(train, column), _values(test, column), assume_unique=True))
        for column in (*contract.with_role("id"), *contract.with_role("group"))
        if column.name in train.columns and column.name in test.columns
    }
    return {
        "exact": float(exact.mean()),
        "near": float((near | exact).mean()),
        "but": {name: float(rows.mean()) for name, rows in differing.items() if rows.any()} if several else {},
        "ids": shared,
    }


def _row_keys(rows: Rows, contract: Contract) -> Keys:
    """Return a 64-bit key of the inputs of each row: rows with equal inputs have equal keys."""
    keys = []
    for frame in rows.frames(contract.input_names):
        total = np.zeros(len(frame), dtype=np.uint64)
        with np.errstate(over="ignore"):
            for number, column in enumerate(contract.inputs):
                total += _weighted(_hash(frame[column.name], column), number)
        keys.append(total)
    return np.concatenate(keys)


def _digests(rows: Rows, column: Column, number: int) -> Keys:
    """Return what a column, by its number among the inputs, adds to the key of each row."""
    frames = rows.frames([column.name])
    return np.concatenate([_weighted(_hash(frame[column.name], column), number) for frame in frames])


def _values(rows: Rows, column: Column) -> Keys:
    """Return the hashes of the distinct values of a column."""
    frames = rows.frames([column.name])
    return np.unique(np.concatenate([_hash(frame[column.name].dropna(), column) for frame in frames]))


def _hash(values: pd.Series, column: Column) -> Keys:
    """Return a 64-bit hash of each value; missing values have the same hash.

    Integers and booleans have the hashes of int64, also if a missing value in their column makes it float64 or object.
    """
    present = values.notna().to_numpy()
    if column.kind == "string":
        cells = values.to_numpy(dtype=object)
    elif column.kind == "number":
        cells = values.to_numpy(dtype=np.float64) + 0.0  # -0.0 becomes 0.0
    elif values.dtype.kind == "M":
        cells = values.to_numpy(dtype="datetime64[us]").view(np.int64)
    else:
        cells = np.where(present, values.to_numpy(), 0).astype(np.int64)
    return np.where(present, pd.util.hash_array(cells), np.uint64(0))


def _weighted(hashes: Keys, number: int) -> Keys:
    """Give equal values of different inputs different hashes."""
    first, second = np.random.default_rng(number).integers(1, 2**63, 2, dtype=np.uint64)
    with np.errstate(over="ignore"):
        weighted: Keys = (hashes ^ first) * (second | np.uint64(1))
    return weighted


def _contains(keys: Keys, values: Keys) -> npt.NDArray[np.bool_]:
    """Return for each value whether it is among the keys."""
    return np.asarray(pd.Series(values).isin(keys))


def adversarial_validation(
    train: Rows, test: Rows, contract: Contract, max_rows: int, seed: int
) -> dict[str, Any] | None:
    """Train a model to distinguish test rows from training rows, without dates, which identify the part trivially.

    It is fitted on half of at most `max_rows` rows of each part and evaluated on the other half.

    Returns
    -------
    dict with `roc_auc` (0.5: the parts are alike), its `interval`, `rows`, the `left_out` inputs, and `columns`: by
    how much the area falls when an input is permuted, largest first. None where every input is a date.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    names = [column.name for column in contract.inputs if column.kind not in ("date", "datetime")]
    if not names:
        return None
    random = np.random.default_rng(seed)
    drawn = [part.take(random.permutation(part.n_rows)[:max_rows], names) for part in (train, test)]
    is_test = np.repeat([False, True], [len(part) for part in drawn])
    both = pd.concat(drawn, ignore_index=True)
    X = np.column_stack(
        [
            pd.factorize(both[name], sort=True)[0] if contract[name].kind == "string" else both[name].astype(float)
            for name in names
        ]
    ).astype(np.float64)
    order = random.permutation(len(X))
    fitted, held_out = order[: len(X) // 2], order[len(X) // 2 :]
    model = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, early_stopping=False, random_state=seed)
    model.fit(X[fitted], is_test[fitted])

    def score(values: npt.NDArray[np.float64]) -> BinarySample:
        return BinarySample(is_test[held_out], model.predict_proba(values)[:, 1], 0.5)

    sample = score(X[held_out])
    roc_auc = metric_value(sample, "roc_auc")
    drops = {}
    for index, name in enumerate(names):
        permuted = X[held_out].copy()
        permuted[:, index] = random.permutation(permuted[:, index])
        drops[name] = roc_auc - metric_value(score(permuted), "roc_auc")
    return {
        "roc_auc": roc_auc,
        "interval": confidence_intervals(sample, RESAMPLES, seed)["roc_auc"],
        "rows": len(X),
        "left_out": [column.name for column in contract.inputs if column.name not in names],
        "columns": dict(sorted(drops.items(), key=lambda item: -item[1])),
    }
