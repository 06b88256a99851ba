"""Choose the estimator by cross-validation on the training part; fits start within a limit of seconds.

The folds are forward in time if the split is by time, and keep groups whole if it is by group. All candidates are
scored on the same folds: by log loss for classes, by the root of the mean squared error for numbers. The standard
error of a difference is corrected for the overlap of training parts as Nadeau and Bengio (2003) do.
"""

import math
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import parallel_config
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

from skline.contract.spec import Contract
from skline.counting import counted
from skline.init.codegen.estimators import FAMILIES, Estimator, Family, TargetSummary, default_estimator
from skline.init.codegen.libraries import require_library
from skline.init.codegen.pipeline_source import render_pipeline
from skline.init.dry_run import imported_source
from skline.reporting.format import format_number
from skline.stages.progress import show_elapsed
from skline.stages.train import set_params

Positions = npt.NDArray[np.int64]
Fold = tuple[Positions, Positions]
FOLDS = 5
#: Folds that are forward in time test the last blocks of this number, each after training on all earlier ones.
TIME_BLOCKS, TIME_FOLDS = 6, 3
#: Rows of the sample on which estimators are compared; texts take longer.
MAX_ROWS, MAX_TEXT_ROWS = 10_000, 3_000
#: The size of a forest grows with the number of rows, up to hundreds of megabytes.
MAX_FOREST_ROWS = 20_000
#: Fewer rows are not compared on: the folds would have a handful of rows.
MIN_ROWS = 50
#: Rank correlation with time from which on a column counts as a function of time.
MIN_TREND = 0.95


@dataclass
class Candidate:
    """An estimator without some inputs, and its losses, one for each fold; `failure` says why there are none."""

    estimator: Estimator
    excluded: tuple[str, ...] = ()
    losses: list[float] = field(default_factory=list)
    failure: str = ""

    @property
    def loss(self) -> float:
        """The mean loss; infinite if there is none."""
        loss = float(np.mean(self.losses)) if self.losses and not self.failure else math.inf
        return loss if math.isfinite(loss) else math.inf


@dataclass(frozen=True)
class EstimatorChoice:
    """The estimator to write, the inputs to exclude, and the comparison as lines for people."""

    estimator: Estimator
    excluded: tuple[str, ...]
    lines: tuple[str, ...]


def choose_estimator(
    rows: pd.DataFrame, contract: Contract, split: dict[str, Any], seconds: float, family: Family | None = None
) -> EstimatorChoice:
    """Compare the candidates on the training part, and return the one with the lowest mean loss.

    Parameters
    ----------
    rows : DataFrame
        The training part.
    contract : Contract
    split : dict
        The section `split` of params.yaml.
    seconds : float
        No fit starts after these seconds; with 0 nothing is compared, and boosting is chosen by the number of rows.
    family : str, optional
        Only estimators of this family are compared.
    """
    summary = TargetSummary.from_values(rows[contract.target.name].to_numpy(), contract.task)
    default = default_estimator(summary, contract.task, family or "boosting")
    groups = rows[contract.by_role("group").name].nunique() if split["kind"] == "group" else None
    if not seconds or len(rows) < MIN_ROWS or (groups is not None and groups < 2):
        few = f"the training part has {counted(len(rows), 'row')}"
        few += "" if groups is None else f" of {counted(groups, 'group')}"
        reason = f"not compared: {few}" if seconds else "not compared"
        return EstimatorChoice(default, (), (f"estimator: {default.describe()} ({reason})",))
    trends = trending(rows, contract) if split["kind"] == "time" else ()
    candidates = list_candidates(contract, summary, by_time=split["kind"] == "time", trends=trends, family=family)
    sample = draw(rows, contract, split["kind"])
    started = time.monotonic()
    folds = make_folds(sample, contract, split["kind"])
    compared = f"{counted(len(candidates), 'estimator')} on {counted(len(folds), 'fold')}"
    announcement = f"comparing {compared}; no fit starts after {seconds:g} s …"
    print(announcement, file=sys.stderr, flush=True)
    with show_elapsed("comparing estimators"):
        n_folds = measure(candidates, sample, contract, folds, started + seconds)
    best = min(candidates, key=lambda candidate: candidate.loss)
    if not n_folds:
        line = f"estimator: {default.describe()} (the comparison did not end within {seconds:g} seconds; "
        line += f"--seconds {4 * math.ceil(seconds)} lets it take longer)"
        return EstimatorChoice(default, (), (line,))
    if math.isinf(best.loss):
        head = f"estimator: {default.describe()} (no estimator could be compared)"
        return EstimatorChoice(default, (), (head, *describe(candidates, best)))
    metric = "RMSE" if contract.task == "regression" else "log loss"
    others = "" if len(candidates) < 2 else "; + says how much more it is, ± the standard error"
    head = (
        f"estimator: {best.estimator.describe()}, the lowest mean {metric} on {counted(n_folds, 'fold')} "
        f"of {len(sample):,} training rows ({time.monotonic() - started:.0f} s"
        + (f"; there was no time for {len(folds) - n_folds} more" if n_folds < len(folds) else "")
        + f"{others})"
    )
    test_share = float(np.mean([len(test) / (len(train) + len(test)) for train, test in folds]))
    lines = describe(candidates, best, test_share)
    if any(not candidate.estimator.days for candidate in candidates):
        lines.append(describe_trends(trends, contract))
    return EstimatorChoice(best.estimator, best.excluded, (head, *lines))


def requested_family(name: str | None) -> Family | None:
    """Return the family that `--estimator` names; raises SklineError if its library is not installed."""
    if name is None:
        return None
    require_library(FAMILIES[name])
    return FAMILIES[name]


def list_candidates(
    contract: Contract,
    summary: TargetSummary,
    *,
    by_time: bool,
    trends: tuple[str, ...],
    family: Family | None = None,
) -> list[Candidate]:
    """Return the estimators to compare, of one family or of all of scikit-learn, the default one first."""
    default = default_estimator(summary, contract.task, family or "boosting")
    estimators = [default]
    if default.is_boosting:
        estimators.append(replace(default, early_stopping=not default.early_stopping))
    if default.poisson:
        estimators += [replace(estimator, poisson=False) for estimator in estimators]
    if family is None:
        estimators.append(Estimator("linear"))
        estimators += [Estimator("forest")] if summary.rows <= MAX_FOREST_ROWS else []
    candidates = [Candidate(estimator) for estimator in estimators]
    has_days = any(column.kind in ("date", "datetime") for column in contract.inputs)
    if by_time and (trends or has_days) and len(trends) < len(contract.inputs):
        candidates += [Candidate(replace(estimator, days=False), trends) for estimator in estimators]
    return candidates


def trending(rows: pd.DataFrame, contract: Contract) -> tuple[str, ...]:
    """Return the numeric inputs that are functions of time: a year, a running number, a quantity that only grows."""
    times = rows[contract.by_role("time").name]
    order = np.argsort(times.to_numpy(), kind="stable")
    ranks = times.rank().to_numpy()
    names = []
    for column in contract.inputs:
        if column.kind not in ("integer", "number") or column.feature_group != "number":
            continue
        values = rows[column.name].to_numpy(dtype=np.float64)
        filled = np.isfinite(values)
        if filled.sum() < MIN_ROWS or np.ptp(values[filled]) == 0:
            continue
        correlation = np.corrcoef(pd.Series(values[filled]).rank(), ranks[filled])[0, 1]
        if abs(correlation) >= MIN_TREND or _moves_one_way(values[order]):
            names.append(column.name)
    return tuple(names)


def _moves_one_way(values: npt.NDArray[np.float64]) -> bool:
    """Whether the values, in the order of time, only grow or only fall."""
    steps = np.diff(values[np.isfinite(values)])
    return bool((steps >= 0).all() or (steps <= 0).all())


def draw(rows: pd.DataFrame, contract: Contract, kind: str, seed: int = 17) -> pd.DataFrame:
    """Return a random sample of the rows, in the order of time if the split is by time."""
    limit = MAX_TEXT_ROWS if "text" in contract.feature_groups() else MAX_ROWS
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:limit])
    sample = rows.iloc[chosen].reset_index(drop=True)
    if kind == "time":
        sample = sample.sort_values(contract.by_role("time").name, kind="stable", ignore_index=True)
    return sample


def make_folds(rows: pd.DataFrame, contract: Contract, kind: str) -> list[Fold]:
    """Return the training and test positions of each fold."""
    y = rows[contract.target.name].to_numpy()
    if kind == "time":
        blocks = np.array_split(np.arange(len(rows)), TIME_BLOCKS)
        numbers = range(TIME_BLOCKS - TIME_FOLDS, TIME_BLOCKS)
        return [(np.concatenate(blocks[:number]), blocks[number]) for number in numbers]
    if kind == "group":
        codes = pd.factorize(rows[contract.by_role("group").name])[0]
        groups = np.where(codes < 0, len(rows) + np.arange(len(rows)), codes)  # without a value: a group of its own
        return list(GroupKFold(min(FOLDS, len(np.unique(groups)))).split(y, y, groups))
    if contract.classes is not None and (fewest := int(pd.Series(y).value_counts().min())) >= 2:
        return list(StratifiedKFold(min(FOLDS, fewest), shuffle=True, random_state=0).split(y, y))
    return list(KFold(FOLDS, shuffle=True, random_state=0).split(y))


def measure(
    candidates: Sequence[Candidate], rows: pd.DataFrame, contract: Contract, folds: Sequence[Fold], deadline: float
) -> int:
    """Add the loss of each fold to all candidates, fold by fold; return the number of folds that all have.

    A fold that is not complete at the deadline, on the monotonic clock, does not count.
    """
    pipelines = [_build(candidate, contract) for candidate in candidates]
    for number, (train, test) in enumerate(folds):
        losses = []
        for candidate, (pipeline, narrowed) in zip(candidates, pipelines, strict=True):
            if time.monotonic() > deadline:
                return number
            if candidate.failure:
                losses.append(math.nan)
                continue
            set_params(pipeline, {}, 17)
            try:
                losses.append(score(pipeline, narrowed, rows.iloc[train], rows.iloc[test]))
            except ValueError as error:  # scikit-learn rejects the data, such as a class that is in one row only
                candidate.failure = str(error).splitlines()[0]
                losses.append(math.nan)
        for candidate, loss in zip(candidates, losses, strict=True):
            candidate.losses.append(loss)
    return len(folds)


def _build(candidate: Candidate, contract: Contract) -> tuple[Any, Contract]:
    """Return the pipeline as it would be written, unfitted, and the contract without the excluded inputs."""
    columns = tuple(column for column in contract.columns if column.name not in candidate.excluded)
    narrowed = contract.model_copy(update={"columns": columns})
    with imported_source(render_pipeline(narrowed, candidate.estimator)) as module:
        return module.build_pipeline(narrowed), narrowed


def score(pipeline: Any, contract: Contract, train: pd.DataFrame, test: pd.DataFrame) -> float:
    """Fit the pipeline on some rows, and return its loss on others."""
    inputs, target = contract.input_names, contract.target.name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence and rare classes: a bad fit shows in the loss
        # The number of threads does not change the trees of a forest; their predictions are added in one thread.
        with parallel_config("threading", n_jobs=-1):
            pipeline.fit(train[inputs], train[target].to_numpy())
        if contract.task == "regression":
            errors = pipeline.predict(test[inputs]) - test[target].to_numpy(dtype=np.float64)
            return float(np.sqrt(np.mean(errors**2)))
        predicted = pipeline.predict_proba(test[inputs])
    classes = sorted({*pipeline.classes_, *test[target]})
    probabilities = np.zeros((len(test), len(classes)))  # a class that was not in the training rows has none
    probabilities[:, [classes.index(label) for label in pipeline.classes_]] = predicted
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # of some estimators it is 1 in 32 bits only
    return float(log_loss(test[target], probabilities, labels=classes))


def corrected_error(differences: npt.NDArray[np.float64], test_share: float) -> float:
    """Return the standard error of the mean of differences of shape (n_folds,), after Nadeau and Bengio.

    The variance of the mean is (1/n + test/train) times that of the folds, because their training parts overlap.
    """
    n = len(differences)
    if n < 2:
        return math.nan
    return float(np.sqrt((1 / n + test_share / (1 - test_share)) * differences.var(ddof=1)))


def describe(candidates: Sequence[Candidate], best: Candidate, test_share: float = 1 / FOLDS) -> list[str]:
    """Return a line for each candidate, the best first: the mean loss and its difference to the best, ± its error.

    `test_share` is the mean share of test rows in the folds.
    """
    lines = []
    width = max(len(candidate.estimator.describe()) for candidate in candidates)
    for candidate in sorted(candidates, key=lambda candidate: candidate.loss):
        text = f"  {candidate.estimator.describe():{width}}"
        if candidate.failure:
            lines.append(f"{text} failed: {candidate.failure}")
            continue
        text += f" {format_number(candidate.loss):>10}"
        if candidate is not best:
            differences = np.array(candidate.losses) - np.array(best.losses)
            text += f"  {differences.mean():+.3g}"
            text += f" ± {corrected_error(differences, test_share):.2g}" if len(differences) > 1 else ""
        lines.append(text)
    return lines


def describe_trends(trends: Sequence[str], contract: Contract) -> str:
    """Say which inputs are trends, and why the candidates are compared without them too."""
    dates = [column.name for column in contract.inputs if column.kind in ("date", "datetime")]
    names = [*trends, *([f"the number of the day of {', '.join(dates)}"] if dates else [])]
    return f"  trends: {', '.join(names)}; later rows may have values beyond those of the training part"
