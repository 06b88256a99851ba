"""Cross-validate configurations of the pipeline on the training part, and choose the best of them.

The folds are made as the split is: at random, by group, or forward in time. The validation and the test part must not
be used.
"""

import difflib
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.pipeline import Pipeline

from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.parallel import LOCAL, Workers
from skline.search.progress import PlainProgress
from skline.search.result import SearchResult, Trial
from skline.search.space import default_space, draw_candidates
from skline.settings import Search
from skline.weighted_fit import fit_arguments

Fold = tuple[Any, Any]
#: The metric where params.yaml names none: proper scoring rules, so that probabilities stay calibrated.
DEFAULT_SCORERS = {"binary": "neg_log_loss", "multiclass": "neg_log_loss", "regression": "neg_root_mean_squared_error"}


def search(
    pipeline: Pipeline,
    rows: pd.DataFrame,
    contract: Contract,
    settings: Search,
    kind: str,
    seed: int,
    weights: npt.NDArray[np.float64] | None = None,
    workers: Workers = LOCAL,
) -> SearchResult:
    """Compare configurations by cross-validation on the training part.

    Parameters
    ----------
    pipeline : unfitted Pipeline
        The default configuration, seeded; it is not changed.
    rows : DataFrame of shape (n_rows, n_columns)
        The training part: the inputs, the target, and the time or group column where the split is by it.
    contract : Contract
    settings : Search
    kind : {"random", "group", "time"}
        How the table is split.
    seed : int
    weights : float64 array of shape (n_rows,), optional
        Of the rows, for the fits and the scores.
    workers : Workers
        Make the fits.

    Raises
    ------
    SklineError
        If the space names a parameter that the pipeline lacks, the metric is unknown, there are too few rows for the
        folds, or scikit-learn rejects a configuration.
    """
    space = dict(settings.space) or default_space(pipeline)
    _check_names(pipeline, space)
    metric = settings.metric or DEFAULT_SCORERS[contract.task]
    _check_metric(metric, classes=contract.classes is not None)
    if kind == "time":
        order = rows[contract.by_role("time").name].reset_index(drop=True).sort_values(kind="stable").index.to_numpy()
        rows, weights = rows.iloc[order], None if weights is None else weights[order]
    name, folds = make_folds(rows, contract, kind, settings.folds, seed)
    X, y = rows[contract.input_names], rows[contract.target.name].to_numpy()
    candidates = draw_candidates(space, settings.candidates, seed)
    trials = _score_candidates(
        candidates, FoldedRows(pipeline, X, y, weights, folds, metric), settings.seconds, workers
    )
    chosen = int(np.argmax([trial.score for trial in trials]))
    return SearchResult(metric, name, settings.candidates, chosen, tuple(trials))


@dataclass(frozen=True)
class FoldedRows:
    """What every fit of a search needs: the default configuration, the rows, their folds and the scorer's name."""

    pipeline: Pipeline
    X: pd.DataFrame
    y: Any
    weights: npt.NDArray[np.float64] | None
    folds: list[Fold]
    metric: str


class Fit(NamedTuple):
    """A configuration, and the number of the fold that it is scored on."""

    params: dict[str, Any]
    fold: int


def score_fit(rows: FoldedRows, task: Fit) -> float:
    """Fit a configuration, and score it on the rows that its fold holds out."""
    candidate, scorer = clone(rows.pipeline).set_params(**task.params), get_scorer(rows.metric)
    weights, (fit, held_out) = rows.weights, rows.folds[task.fold]
    try:
        arguments = fit_arguments(candidate, None if weights is None else weights[fit])
        fitted = candidate.fit(rows.X.iloc[fit], rows.y[fit], **arguments)
        weighted = {} if weights is None else {"sample_weight": weights[held_out]}
        return float(scorer(fitted, rows.X.iloc[held_out], rows.y[held_out], **weighted))
    except (TypeError, ValueError) as error:
        raise SklineError(
            f"train.search: the configuration {_format_params(task.params)} cannot be fitted, or scored by "
            f"{rows.metric}: {error}"
        ) from error


def _score_candidates(
    candidates: Sequence[dict[str, Any]], rows: FoldedRows, seconds: float | None, workers: Workers
) -> list[Trial]:
    """Score configurations on all folds, and show progress; after `seconds` no further one is begun, if one is done."""
    trials: list[Trial] = []
    started, report, n_folds = time.monotonic(), PlainProgress(), len(rows.folds)

    def fits() -> Iterator[Fit]:
        for number, params in enumerate(candidates):
            if number and seconds is not None and time.monotonic() - started > seconds:
                return
            yield from (Fit(params, fold) for fold in range(n_folds))

    scores = workers.map(score_fit, rows, fits())
    with _progress_bar(len(candidates)) as bar:
        while of_one := tuple(islice(scores, n_folds)):
            params, classes = candidates[len(trials)], is_classifier(rows.pipeline)
            trials.append(_make_trial(params, of_one, rows.metric, classes=classes))
            bar.update(1)
            best = max(trial.score for trial in trials)
            report.show(f"search: {len(trials)} of {len(candidates)} candidates, the best {rows.metric} is {best:.6g}")
    return trials


def _make_trial(params: dict[str, Any], scores: tuple[float, ...], metric: str, *, classes: bool) -> Trial:
    """Return the trial of a configuration; SklineError if a score is not finite."""
    if not np.isfinite(scores).all():
        examples = example_scorers(classes=classes)
        broken = len(scores) - int(np.isfinite(scores).sum())
        raise SklineError(
            f"train.search.metric: {metric} is no finite number on {broken} of {len(scores)} folds (configuration: "
            f"{_format_params(params)}); choose a metric of this task, as {examples} are, or fewer folds"
        )
    return Trial(params, float(np.mean(scores)), scores)


def make_folds(rows: pd.DataFrame, contract: Contract, kind: str, n: int, seed: int) -> tuple[str, list[Fold]]:
    """Divide the training part into `n` folds as the split divides the table; by time, rows must be sorted by time.

    Returns
    -------
    The name of the splitter, and for each fold the positions of the rows to fit on and of those to score on.

    Raises
    ------
    SklineError
        If there are too few rows or groups, or a fold lacks a class.
    """
    y = rows[contract.target.name].to_numpy()
    groups = rows[contract.by_role("group").name] if kind == "group" else None
    units, what = (len(rows), "rows") if groups is None else (groups.nunique(), "groups")
    if units < n + (kind == "time"):
        raise SklineError(f"train.search.folds: {units} {what} are too few for {n} folds; set fewer folds")
    classes = contract.task != "regression"
    splitter: Any
    if kind == "time":
        splitter = TimeSeriesSplit(n)
    elif kind == "group":
        splitter = (StratifiedGroupKFold if classes else GroupKFold)(n, shuffle=True, random_state=seed)
    else:
        splitter = (StratifiedKFold if classes else KFold)(n, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer rows than folds is an error below
        try:
            folds = list(splitter.split(rows, y, groups))
        except ValueError as error:
            raise SklineError(f"train.search.folds: {error}; set fewer folds") from error
    for fit, score in folds if classes else []:
        if set(y[fit]) != set(y) or set(y[score]) != set(y):
            raise SklineError(
                f"train.search.folds: one of {n} folds ({type(splitter).__name__}) lacks a class of "
                f"{contract.target.name}; set fewer folds, or collect more rows of the rare class"
            )
    return f"{type(splitter).__name__}({n})", folds


def example_scorers(*, classes: bool) -> str:
    """Return names of scorers that suit the task, as text."""
    return "neg_log_loss and f1_macro" if classes else "neg_root_mean_squared_error and r2"


def _format_params(params: Mapping[str, Any]) -> str:
    """Return parameters as `name=value`, separated by commas."""
    return ", ".join(f"{name}={value!r}" for name, value in params.items()) or "the default"


def _check_names(pipeline: Pipeline, space: dict[str, Any]) -> None:
    """Raise SklineError for a parameter that the pipeline does not have."""
    params = pipeline.get_params()
    for name in space:
        if name not in params:
            closest = difflib.get_close_matches(name, params, n=1, cutoff=0.5)
            raise SklineError(
                f"train.search.space: the pipeline has no parameter {name!r}"
                + (f"; did you mean {closest[0]!r}?" if closest else "; write it as step__parameter")
            )


def _check_metric(metric: str, *, classes: bool) -> None:
    """Raise SklineError unless scikit-learn has a scorer of this name."""
    names = get_scorer_names()
    if metric not in names:
        closest = difflib.get_close_matches(metric, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(closest)}?" if closest else f"such as {example_scorers(classes=classes)}"
        raise SklineError(
            f"train.search.metric: scikit-learn has no scorer {metric!r}; {hint} "
            "(all are listed by sklearn.metrics.get_scorer_names())"
        )


@contextmanager
def _progress_bar(total: int) -> Iterator[Any]:
    """Show a progress bar over candidates, on a terminal only."""
    from tqdm import tqdm

    with tqdm(desc="search", unit="candidate", total=total, disable=not sys.stderr.isatty()) as bar:
        yield bar
