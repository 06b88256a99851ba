"""Check whether the test part is independent of the training part, and whether it has the same distribution."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline.contract.spec import Contract
from skline.evaluation.bootstrap import confidence_intervals, metric_value
from skline.evaluation.resampling import BinarySample

#: Resamples behind the interval of the adversarial AUC.
RESAMPLES = 200


def count_duplicates(train: pd.DataFrame, test: pd.DataFrame, contract: Contract) -> dict[str, Any]:
    """Count test rows that are in the training part too.

    Returns
    -------
    dict with `exact`, the share of test rows equal to a training row in every input; `near`, equal in all inputs but
    one at most; `but`, for each input, the share that differs from a training row in this input only; and `ids`, for
    each id and group column, the number of values that are in both parts.
    """
    codes = _encode_inputs(train, test, contract)
    # A row's key is a sum of one hash for each input, so the key without one input is a subtraction.
    weights = np.random.default_rng(0).integers(1, 2**63, len(codes), dtype=np.uint64)
    total = np.zeros(len(train) + len(test), dtype=np.uint64)
    with np.errstate(over="ignore"):
        hashes = {
            name: (values.astype(np.uint64) + np.uint64(1)) * weight * (values.astype(np.uint64) ^ weight)
            for (name, values), weight in zip(codes.items(), weights, strict=True)
        }
        for hashed in hashes.values():
            total += hashed
        exact = _in_train(total, len(train))
        differing = {name: _in_train(total - hashed, len(train)) & ~exact for name, hashed in hashes.items()}
    near = np.zeros(len(test), dtype=bool)
    if len(codes) > 1:
        near = np.logical_or.reduce(list(differing.values()))
    shared = {
        column.name: len(set(train[column.name].dropna()) & set(test[column.name].dropna()))
        for column in (*contract.with_role("id"), *contract.with_role("group"))
        if column.name in train and column.name in test
    }
    return {
        "exact": float(exact.mean()),
        "near": float((near | exact).mean()),
        "but": {name: float(rows.mean()) for name, rows in differing.items() if rows.any()} if len(codes) > 1 else {},
        "ids": shared,
    }


def _encode_inputs(train: pd.DataFrame, test: pd.DataFrame, contract: Contract) -> dict[str, npt.NDArray[np.intp]]:
    """Number the values of each input over both parts; missing values are equal to each other."""
    return {
        name: pd.factorize(pd.concat([train[name], test[name]], ignore_index=True), use_na_sentinel=False)[0]
        for name in contract.input_names
    }


def _in_train(keys: npt.NDArray[np.uint64], n_train: int) -> npt.NDArray[np.bool_]:
    """Return for each key of the test part whether the training part has it; the training part's keys come first."""
    return np.asarray(pd.Series(keys[n_train:]).isin(keys[:n_train]))


def adversarial_validation(
    train: pd.DataFrame, test: pd.DataFrame, contract: Contract, rows: int, seed: int
) -> dict[str, Any] | None:
    """Train a model to distinguish test rows from training rows, without dates, which identify the part trivially.

    It is fitted on half of at most `rows` rows of each part and evaluated on the other half.

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
    drawn = [part.iloc[random.permutation(len(part))[:rows]] for part in (train, test)]
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
