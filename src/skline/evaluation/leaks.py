"""Whether the test part is as new to the model as it is meant to be, and as like the training part as it is."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline.contract.spec import Contract
from skline.evaluation.bootstrap import all_once, intervals
from skline.evaluation.sampled import Binary

#: Resamples behind the interval of the adversarial AUC.
RESAMPLES = 200


def duplicates(train: pd.DataFrame, test: pd.DataFrame, contract: Contract) -> dict[str, Any]:
    """Count test rows that stand in the training part.

    Returns
    -------
    dict with `exact`, the share of test rows equal to a training row in every input; `near`, equal in all inputs but
    one; `but`, for each input, the share that is equal but for it; and `ids`, the number of values of id and group
    columns that are in both parts.
    """
    codes = _codes(train, test, contract)
    weights = np.random.default_rng(0).integers(1, 2**63, len(codes), dtype=np.uint64)
    total = np.zeros(len(train) + len(test), dtype=np.uint64)
    with np.errstate(over="ignore"):
        parts = {
            name: (values.astype(np.uint64) + np.uint64(1)) * weight * (values.astype(np.uint64) ^ weight)
            for (name, values), weight in zip(codes.items(), weights, strict=True)
        }
        for part in parts.values():
            total += part
        exact = _in_first(total, len(train))
        but = {name: _in_first(total - part, len(train)) & ~exact for name, part in parts.items()}
    near = np.zeros(len(test), dtype=bool)
    if len(codes) > 1:
        near = np.logical_or.reduce(list(but.values()))
    shared = {
        column.name: len(set(train[column.name].dropna()) & set(test[column.name].dropna()))
        for column in (*contract.with_role("id"), *contract.with_role("group"))
        if column.name in train and column.name in test
    }
    return {
        "exact": float(exact.mean()),
        "near": float((near | exact).mean()),
        "but": {name: float(rows.mean()) for name, rows in but.items() if rows.any()} if len(codes) > 1 else {},
        "ids": shared,
    }


def _codes(train: pd.DataFrame, test: pd.DataFrame, contract: Contract) -> dict[str, npt.NDArray[np.intp]]:
    """Number the values of each input, over both parts; missing values are alike."""
    return {
        name: pd.factorize(pd.concat([train[name], test[name]], ignore_index=True), use_na_sentinel=False)[0]
        for name in contract.input_names
    }


def _in_first(keys: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.bool_]:
    """Which keys after the first `count` are among those."""
    return np.asarray(pd.Series(keys[count:]).isin(keys[:count]))


def adversarial(
    train: pd.DataFrame, test: pd.DataFrame, contract: Contract, rows: int, seed: int
) -> dict[str, Any] | None:
    """Let a model tell training rows from test rows by the inputs, dates left out, which tell of themselves.

    It is fitted on half of at most `rows` rows of each part and judged on the other half.

    Returns
    -------
    dict with `roc_auc` (0.5: it cannot tell them apart), its `interval`, `rows`, the `left_out` inputs, and `columns`,
    by how much the area falls when one input is permuted; None where there is no input to tell by.
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
    fit, held = order[: len(X) // 2], order[len(X) // 2 :]
    model = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, early_stopping=False, random_state=seed)
    model.fit(X[fit], is_test[fit])

    def judged(values: npt.NDArray[np.float64]) -> Binary:
        return Binary(is_test[held], model.predict_proba(values)[:, 1], 0.5)

    def area(values: npt.NDArray[np.float64]) -> float:
        return float(judged(values).metrics(all_once(len(held)), "roc_auc")["roc_auc"][0])

    before = area(X[held])
    falls = {}
    for index, name in enumerate(names):
        changed = X[held].copy()
        changed[:, index] = random.permutation(changed[:, index])
        falls[name] = before - area(changed)
    return {
        "roc_auc": before,
        "interval": intervals(judged(X[held]), RESAMPLES, seed)["roc_auc"],
        "rows": len(X),
        "left_out": [column.name for column in contract.inputs if column.name not in names],
        "columns": dict(sorted(falls.items(), key=lambda item: -item[1])),
    }
