"""Find leaks: columns that nearly determine the target, or that are filled only because the target is known.

Every score is computed on held-out rows, and only a near-perfect score counts: a strong feature is not a leak.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn.metrics import cohen_kappa_score, r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skline.counting import counted
from skline.init.inference.column_guess import ColumnGuess
from skline.init.inference.pairs import class_pairs, number_pairs
from skline.init.inference.sums import find_sum

Array = npt.NDArray[Any]
#: Rows of the sample on which columns are scored.
MAX_ROWS = 4000
MIN_ROWS = 30
#: Among fewer rows, a legitimate measurement may separate the classes by chance; only columns with few distinct values
#: are leaks there.
MIN_ROWS_FOR_NUMBERS, MAX_FEW_VALUES = 200, 20
#: Cohen's kappa, or explained variance, from which on a column counts as determining the target.
MIN_KAPPA = 0.985
MIN_R2 = 0.99
#: Share of the steps of the target, in the order of a column, that go the same way if the column ranks the target.
MIN_RANK_AGREEMENT = 0.99
#: Fewer rows with a filled (or empty) cell, without a target, or outside the most frequent class are no evidence.
MIN_EVIDENCE_ROWS = 10
#: Largest probability of a coincidence; small, because hundreds of columns are tested.
MAX_P_VALUE = 1e-8
#: Smallest share of the rows with a filled (or empty) cell that have the same value of the target.
MIN_ONE_VALUE_SHARE = 0.98
#: Trees compute in 32 bits, which hold no larger number.
LARGEST_NUMBER = 1e38


class Leak(NamedTuple):
    """One column or two that determine the target, and the evidence."""

    columns: tuple[str, ...]
    reason: str


def find_leaks(inputs: list[ColumnGuess], target: ColumnGuess, *, is_class: bool, seed: int = 17) -> list[Leak]:
    """Find the leaks among `inputs`; a column that may be one among few rows gets a doubt instead.

    Parameters
    ----------
    inputs : list of ColumnGuess
    target : ColumnGuess
    is_class : bool
        Whether the target's values are classes; they are numbers otherwise.
    seed : int
        Seed of the sample of rows.
    """
    labelled = target.values.notna().to_numpy()
    leaks = _filled_if_labelled(inputs, labelled)
    truth = _truth(target.values[labelled], is_class=is_class)
    if len(truth) < MIN_ROWS or (is_class and len(truth) - np.bincount(truth).max() < MIN_EVIDENCE_ROWS):
        return leaks
    rows = np.flatnonzero(labelled)
    leaks += _filled_for_one_value(_others(inputs, leaks), rows, truth, target, is_class=is_class)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:MAX_ROWS])
    return leaks + _determining(_others(inputs, leaks), rows[chosen], truth[chosen], target.name, is_class=is_class)


def _others(inputs: list[ColumnGuess], leaks: list[Leak]) -> list[ColumnGuess]:
    """Return the inputs that are no leaks so far."""
    leaking = {name for leak in leaks for name in leak.columns}
    return [guess for guess in inputs if guess.name not in leaking]


def _determining(inputs: list[ColumnGuess], rows: Array, truth: Array, target: str, *, is_class: bool) -> list[Leak]:
    """Find the columns that determine the target in a sample of rows: alone, then two together, then in a sum."""
    numeric = {guess.name: _as_numbers(guess.values.iloc[rows]) for guess in inputs}
    leaks = _determining_alone(inputs, numeric, truth, target, is_class=is_class)
    numbers = [guess for guess in inputs if guess.kind in ("integer", "number", "boolean")]
    search = class_pairs if is_class else number_pairs
    for pair in islice(search({guess.name: numeric[guess.name] for guess in _others(numbers, leaks)}, truth), 3):
        known = truth[pair.rows]
        score = held_out_agreement(pair.values, known, make_folds(known, is_class=is_class), is_class=is_class)
        if score is not None:
            leaks.append(Leak((pair.first, pair.second), f"{pair.formula} determines {target!r}: {score}"))
    if not is_class:
        leaks += _sum_leaks({guess.name: numeric[guess.name] for guess in _others(numbers, leaks)}, truth, target)
    return leaks


def _determining_alone(
    inputs: list[ColumnGuess], numeric: dict[str, npt.NDArray[np.float64]], truth: Array, target: str, *, is_class: bool
) -> list[Leak]:
    """Find the columns, given as numbers too, that determine the target alone; `target` is its name."""
    folds = make_folds(truth, is_class=is_class)
    with ThreadPoolExecutor() as threads:  # trees are fitted without Python's lock
        scores = threads.map(lambda x: held_out_agreement(x, truth, folds, is_class=is_class), numeric.values())
    leaks = []
    for guess, score in zip(inputs, scores, strict=True):
        if score is None:
            continue
        if is_class and len(truth) < MIN_ROWS_FOR_NUMBERS and len(np.unique(numeric[guess.name])) > MAX_FEW_VALUES:
            guess.doubts.append(
                f"it separates the classes of {target!r} alone; is its value known before the target is?"
            )
        else:
            leaks.append(Leak((guess.name,), f"it determines {target!r} alone: {score}"))
    return leaks


def _sum_leaks(numbers: dict[str, npt.NDArray[np.float64]], truth: Array, target: str) -> list[Leak]:
    """Find the columns that add up to the target, whose name is `target`."""
    terms = find_sum(numbers, truth)
    if terms is None:
        return []
    score = held_out_agreement(terms.values, truth, make_folds(truth, is_class=False), is_class=False)
    return [] if score is None else [Leak(terms.columns, f"{terms.formula} determines {target!r}: {score}")]


def _truth(values: pd.Series, *, is_class: bool) -> Array:
    """Return the target as class codes, or as numbers."""
    if is_class:
        return pd.factorize(values, sort=True)[0]
    return values.to_numpy(dtype=np.float64)


def _as_numbers(values: pd.Series) -> npt.NDArray[np.float64]:
    """Convert any column to numbers: categories to codes in sorted order, dates to microseconds; NaN where missing."""
    if values.dtype.kind in "bif":
        numbers: npt.NDArray[np.float64] = values.to_numpy(dtype=np.float64).clip(-LARGEST_NUMBER, LARGEST_NUMBER)
        return numbers
    if values.dtype.kind == "M":
        stamps = values.to_numpy(dtype="datetime64[us]")
        return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64).astype(np.float64))
    codes = pd.factorize(values, sort=True)[0].astype(np.float64)
    return np.where(codes < 0, np.nan, codes)


def make_folds(truth: Array, *, is_class: bool) -> list[tuple[Array, Array]]:
    """Return the positions of the training and the test rows of each fold, stratified by class if there are enough."""
    stratified = is_class and np.bincount(truth.astype(np.int64)).min() >= 4
    folds: Any = (StratifiedKFold if stratified else KFold)(4, shuffle=True, random_state=0)
    return list(folds.split(truth, truth))


def held_out_agreement(x: Array, truth: Array, folds: list[tuple[Array, Array]], *, is_class: bool) -> str | None:
    """Describe how well a column determines the truth on held-out rows; None if it does not nearly determine it.

    Parameters
    ----------
    x : ndarray of shape (n_rows,), dtype float64
    truth : ndarray of shape (n_rows,)
        Class codes, or numbers.
    folds : list of (ndarray, ndarray)
        See `make_folds`.
    is_class : bool
    """
    if not is_class and ranks_target(x, truth):
        return f"its order is that of the target in {MIN_RANK_AGREEMENT:.0%} or more of the rows"
    predicted = np.empty(len(truth), dtype=np.float64)
    X, linear = x[:, None], np.full(len(truth), np.nan)
    for number, (train, test) in enumerate(folds):
        tree: Any = (
            DecisionTreeClassifier(min_samples_leaf=2, random_state=0)
            if is_class
            else DecisionTreeRegressor(min_samples_leaf=2, random_state=0)
        )
        predicted[test] = tree.fit(X[train], truth[train]).predict(X[test])
        if not is_class:
            linear[test] = _predict_linear(x[train], truth[train], x[test])
        if number == 0 and not _promising(truth[test], predicted[test], linear[test], is_class=is_class):
            return None
    if is_class:
        if cohen_kappa_score(truth, predicted) < MIN_KAPPA:
            return None
        return f"{(truth == predicted).mean():.1%} of held-out rows are predicted correctly"
    best = 0.0
    for predictions in (predicted, linear):
        if np.isfinite(predictions).all():
            ranks = r2_score(pd.Series(truth).rank(), pd.Series(predictions).rank())
            best = max(best, min(r2_score(truth, predictions), ranks))
    return f"{best:.1%} of its variance is explained on held-out rows" if best >= MIN_R2 else None


def ranks_target(x: Array, truth: Array) -> bool:
    """Whether the target only grows, or only falls, in the order of a column, as with a rank or a cumulated value.

    A column with ties does not rank the target: the rows of a tie are in any order.
    """
    filled = np.isfinite(x)
    if filled.mean() < 0.5 or len(np.unique(x[filled])) < 0.5 * len(truth):
        return False
    steps = np.diff(truth[filled][np.argsort(x[filled], kind="stable")])
    steps = steps[steps != 0]
    up = (steps > 0).mean() if len(steps) >= MIN_ROWS else 0.5
    return bool(max(up, 1 - up) >= MIN_RANK_AGREEMENT)


def _promising(truth: Array, predicted: Array, linear: Array, *, is_class: bool) -> bool:
    """Whether the score on the first fold is high enough to score the other folds too."""
    if is_class:
        return bool((truth == predicted).mean() >= 0.95)
    return bool(max(r2_score(truth, predicted), r2_score(truth, linear)) >= 0.9)


def _predict_linear(x: Array, y: Array, x_test: Array) -> Array:
    """Predict by least squares on the rows whose x is not missing; the mean of y where x is missing."""
    present = np.isfinite(x)
    if present.sum() < 3 or np.ptp(x[present]) == 0:
        return np.full(len(x_test), y.mean())
    middle = x[present].mean()
    slope = np.dot(x[present] - middle, y[present]) / np.dot(x[present] - middle, x[present] - middle)
    predictions = y[present].mean() + slope * (x_test - middle)
    filled: Array = np.where(np.isfinite(predictions), predictions, y.mean())
    return filled


def _filled_if_labelled(inputs: list[ColumnGuess], labelled: Array) -> list[Leak]:
    """Find columns that are filled in labelled rows and empty in rows without a target.

    A row without a target is evidence only if it has at least half of the cells that the other rows have: a truncated
    row lacks the target for the same reason as everything else. Whether the empty cells are in these rows by chance is
    tested by Fisher's exact test.
    """
    if not inputs or labelled.all() or not labelled.any():
        return []
    filled = np.column_stack([guess.values.notna().to_numpy() for guess in inputs])
    usual = filled[labelled].mean(axis=0)
    unlabelled = ~labelled & (filled.sum(axis=1) >= 0.5 * usual.sum())
    n_unlabelled = int(unlabelled.sum())
    if n_unlabelled < MIN_EVIDENCE_ROWS:
        return []
    rows = labelled | unlabelled
    leaks = []
    for guess, cells, share in zip(inputs, filled.T, usual, strict=True):
        empty = int((~cells[unlabelled]).sum())
        if empty < 0.99 * n_unlabelled or share < 0.2:
            continue
        chance = stats.hypergeom.sf(empty - 1, int(rows.sum()), int((~cells[rows]).sum()), n_unlabelled)
        if chance < MAX_P_VALUE:
            leaks.append(
                Leak(
                    (guess.name,),
                    f"filled in {share:.0%} of the rows with a target, empty in the {n_unlabelled:,} without",
                )
            )
    return leaks


def _filled_for_one_value(
    inputs: list[ColumnGuess], rows: Array, truth: Array, target: ColumnGuess, *, is_class: bool
) -> list[Leak]:
    """Find columns that are filled (or empty) almost only in rows with one value of the target."""
    values, counts = np.unique(truth, return_counts=True)
    labels = target.values.iloc[rows].to_numpy()
    leaks = []
    for guess in inputs:
        filled = guess.values.iloc[rows].notna().to_numpy()
        if filled.all() or not filled.any():
            continue
        for state, word in ((filled, "filled"), (~filled, "empty")):
            state_values, state_counts = np.unique(truth[state], return_counts=True)
            top = int(state_counts.argmax())
            share = state_counts[top] / state_counts.sum()
            base = counts[values == state_values[top]][0] / len(truth)
            # A number that recurs, such as zero among insurance claims, is treated like a class.
            if share < MIN_ONE_VALUE_SHARE or base > 0.95 or (not is_class and base < 0.02):
                continue
            if word == "empty" and not (truth[filled] != state_values[top]).mean() >= MIN_ONE_VALUE_SHARE:
                continue  # missing cells are often more frequent in one class; only an exact match is evidence
            if state_counts.sum() >= MIN_EVIDENCE_ROWS and base ** state_counts.sum() < MAX_P_VALUE:
                label = _as_written(target, labels[np.flatnonzero(truth == state_values[top])[0]])
                leaks.append(
                    Leak(
                        (guess.name,),
                        f"{word} in {counted(int(state.sum()), 'row')}, of which {share:.1%} have {target.name!r} = "
                        f"{label}",
                    )
                )
                break
    return leaks


def _as_written(target: ColumnGuess, value: object) -> str:
    """Return a value of the target as the table writes it."""
    if target.kind != "boolean":
        return str(value)
    if target.labels is None:
        return str(bool(value))
    yes, _, no = target.labels.partition("/")
    return yes if value else no
