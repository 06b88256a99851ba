"""Find columns that know the answer: they nearly determine the target, or are filled because it is known.

Everything is judged on rows that were not looked at before, and only near determination counts: a strong feature
is no leak.
"""

from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import cohen_kappa_score, r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skline.init.guess import Guess
from skline.init.pairs import Pair, class_pairs, number_pairs

Array = npt.NDArray[Any]
#: So many rows tell.
ROWS = 4000
FEWEST_ROWS = 30
#: Among fewer rows, a measurement may part classes honestly; only categories are suspect there.
MEASURED_ROWS = 200
#: Agreement beyond chance, and variance explained, from which a column determines the target.
KAPPA = 0.985
R2 = 0.99
#: A pattern as striking as this is no chance, with hundreds of columns looked at.
CHANCE = 1e-8
#: Of the rows in which a column is filled, so many have the one value of the target.
ONE_VALUE = 0.98


class Leak(NamedTuple):
    """Columns that know the answer, and why they are thought to."""

    columns: tuple[str, ...]
    reason: str


def find_leaks(inputs: list[Guess], target: Guess, *, classes: bool, seed: int = 17) -> list[Leak]:
    """Find the leaks among `inputs`.

    Parameters
    ----------
    inputs : list of Guess
    target : Guess
    classes : bool
        Whether the target's values are classes, not numbers.
    """
    known = target.values.notna().to_numpy()
    leaks = _filled_when_known(inputs, known)
    caught = {name for leak in leaks for name in leak.columns}
    truth, is_class = _truth(target.values[known], classes=classes)
    if len(truth) < FEWEST_ROWS:
        return leaks
    rest = [guess for guess in inputs if guess.name not in caught]
    rows = np.flatnonzero(known)
    leaks += _filled_for_one_value(rest, rows, truth, target, is_class=is_class)
    caught = {name for leak in leaks for name in leak.columns}
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:ROWS])
    rows, truth = rows[chosen], truth[chosen]
    rest = [guess for guess in rest if guess.name not in caught]
    coded = {guess.name: _coded(guess.values.iloc[rows]) for guess in rest}
    for guess in rest:
        score = agreement(coded[guess.name][:, None], truth, is_class=is_class)
        if score is not None and is_class and len(truth) < MEASURED_ROWS and len(np.unique(coded[guess.name])) > 20:
            guess.looks.append(f"alone it parts the classes of {target.name!r}; is it known before the target is?")
        elif score is not None:
            leaks.append(Leak((guess.name,), f"alone it gives {target.name!r}: {score}"))
            caught.add(guess.name)
    numbers = {
        g.name: coded[g.name] for g in rest if g.kind in ("integer", "number", "boolean") and g.name not in caught
    }
    search = class_pairs if is_class else number_pairs
    for pair in islice(search(numbers, truth), 3):
        score = agreement(pair.values[:, None], truth[pair.rows], is_class=is_class)
        if score is not None:
            leaks.append(_told(pair, target.name, score))
    return leaks


def _told(pair: Pair, target: str, score: str) -> Leak:
    """Say what two columns do together."""
    return Leak((pair.first, pair.second), f"{pair.formula} gives {target!r}: {score}")


def _truth(values: pd.Series, *, classes: bool) -> tuple[Array, bool]:
    """Return classes as codes, or numbers."""
    if classes:
        return pd.factorize(values, sort=True)[0], True
    return values.to_numpy(dtype=np.float64), False


def _coded(values: pd.Series) -> npt.NDArray[np.float64]:
    """Turn any column into numbers: categories by code in their order, dates by time; NaN where missing."""
    if values.dtype.kind in "bif":
        return values.to_numpy(dtype=np.float64)
    if values.dtype.kind == "M":
        stamps = values.to_numpy(dtype="datetime64[us]")
        return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64).astype(np.float64))
    codes = pd.factorize(values, sort=True)[0].astype(np.float64)
    return np.where(codes < 0, np.nan, codes)


def agreement(X: Array, truth: Array, *, is_class: bool) -> str | None:
    """Say how well `X` gives the truth on rows held out, or None if it does not nearly determine it.

    `X` is float64 of shape (n_rows, n_features), `truth` codes of classes or numbers of shape (n_rows,).
    """
    said = np.empty(len(truth), dtype=np.float64)
    folds: Any = KFold(4, shuffle=True, random_state=0)
    if is_class:
        if np.bincount(truth.astype(np.int64)).min() < 4:
            folds = KFold(4, shuffle=True, random_state=0)
        else:
            folds = StratifiedKFold(4, shuffle=True, random_state=0)
    linear = np.full(len(truth), np.nan)
    for number, (fit, judge) in enumerate(folds.split(X, truth)):
        tree: Any = (
            DecisionTreeClassifier(min_samples_leaf=2, random_state=0)
            if is_class
            else DecisionTreeRegressor(min_samples_leaf=2, random_state=0)
        )
        said[judge] = tree.fit(X[fit], truth[fit]).predict(X[judge])
        if not is_class:
            linear[judge] = _line(X[fit, 0], truth[fit], X[judge, 0])
        if number == 0 and not _promising(truth[judge], said[judge], linear[judge], is_class=is_class):
            return None
    if is_class:
        if cohen_kappa_score(truth, said) < KAPPA:
            return None
        return f"{(truth == said).mean():.1%} of held-out rows right"
    best = 0.0
    for answers in (said, linear):
        if np.isfinite(answers).all():
            ranks = r2_score(pd.Series(truth).rank(), pd.Series(answers).rank())
            best = max(best, min(r2_score(truth, answers), ranks))
    return f"{best:.1%} of its variance on held-out rows" if best >= R2 else None


def _promising(truth: Array, said: Array, linear: Array, *, is_class: bool) -> bool:
    """Whether the first part of the rows leaves it open that a column determines the target."""
    if is_class:
        return bool((truth == said).mean() >= 0.95)
    return bool(max(r2_score(truth, said), r2_score(truth, linear)) >= 0.9)


def _line(x: Array, y: Array, ask: Array) -> Array:
    """Answer by the straight line through the rows whose x is not missing; their mean where x is missing."""
    there = np.isfinite(x)
    if there.sum() < 3 or np.ptp(x[there]) == 0:
        return np.full(len(ask), y.mean())
    middle = x[there].mean()
    slope = np.dot(x[there] - middle, y[there]) / np.dot(x[there] - middle, x[there] - middle)
    answers = y[there].mean() + slope * (ask - middle)
    filled: Array = np.where(np.isfinite(answers), answers, y.mean())
    return filled


def _filled_when_known(inputs: list[Guess], known: Array) -> list[Leak]:
    """Find columns that are filled in labelled rows and empty in rows that have no target yet."""
    filled = {guess.name: guess.values.notna().to_numpy() for guess in inputs}
    if not filled:
        return []
    something = np.logical_or.reduce(list(filled.values()))  # rows that are empty altogether tell nothing
    open_rows = something & ~known
    leaks = []
    for name, cells in filled.items():
        share = cells[known].mean() if known.any() else 0.0
        never = open_rows.any() and cells[open_rows].mean() <= 0.01
        if never and share >= 0.2 and (1 - share) ** open_rows.sum() < CHANCE:
            leaks.append(
                Leak(
                    (name,),
                    f"filled in {share:.0%} of the rows whose target is known, empty in the {open_rows.sum():,} others",
                )
            )
    return leaks


def _filled_for_one_value(
    inputs: list[Guess], rows: Array, truth: Array, target: Guess, *, is_class: bool
) -> list[Leak]:
    """Find columns that are filled (or empty) when, and nearly only when, the target has one value."""
    values, counts = np.unique(truth, return_counts=True)
    labels = target.values.iloc[rows].to_numpy()
    leaks = []
    for guess in inputs:
        filled = guess.values.iloc[rows].notna().to_numpy()
        if filled.all() or not filled.any():
            continue
        for state, word in ((filled, "filled"), (~filled, "empty")):
            there, there_counts = np.unique(truth[state], return_counts=True)
            top = int(there_counts.argmax())
            share = there_counts[top] / there_counts.sum()
            base = counts[values == there[top]][0] / len(truth)
            # A number is a value like a class where it recurs, as the zero of claims does.
            if share < ONE_VALUE or base > 0.95 or (not is_class and base < 0.02):
                continue
            if word == "empty" and not (truth[filled] != there[top]).mean() >= ONE_VALUE:
                continue  # missing cells are common among one class; only a perfect mirror is suspect
            if base ** there_counts.sum() < CHANCE:
                label = labels[np.flatnonzero(truth == there[top])[0]]
                label = bool(label) if target.kind == "boolean" else label
                leaks.append(
                    Leak(
                        (guess.name,),
                        f"{word} in {state.sum():,} rows, {share:.1%} of them with {target.name!r} = {label}",
                    )
                )
                break
    return leaks
