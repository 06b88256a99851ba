"""Hindsight: how well the same pipeline predicts the replayed period if it may learn from what came later.

The replayed period is cut into blocks. Each block is predicted by a model that was fitted without it: on all other rows
of the table, later ones included, or only on those near the block (blocked cross-fitting; Bergmeir, Hyndman and Koo
2018, "A note on the validity of cross-validation for evaluating autoregressive time series prediction"). Of these sets
of rows the one whose predictions are best over the whole replay is taken: one choice, made afterwards. No policy can
know it, so that what separates a policy from hindsight is what it could gain at most by other rows or other moments of
training; it is no bound of what another pipeline could reach.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skline.errors import SklineError
from skline.evaluation.metrics import lower_is_better
from skline.evaluation.rows import join_scores
from skline.retraining.replay.measures import Measurement, measure
from skline.retraining.replay.stream import Positions, Stream
from skline.retraining.replay.versions import Project
from skline.scoring.reference import score_frame
from skline.scoring.scores import Scores
from skline.settings.monitor import format_duration
from skline.stages.train import train
from skline.tuning.tune import tune

#: Blocks that the replayed period is cut into at most.
MAX_BLOCKS = 13
#: Of the rows that are not in the block, one in so many sets calibration and threshold, and is not fitted on.
TUNING_STEP = 6

Bounds = tuple[dt.datetime, dt.datetime]


class Hindsight(NamedTuple):
    """How good the predictions of hindsight are, and how they were made."""

    measured: Measurement
    description: str


def predict_in_hindsight(
    project: Project, stream: Stream, periods: Sequence[Bounds], metric: str, near: dt.timedelta
) -> Hindsight:
    """Predict every replayed row by a model that was not fitted on its block.

    Parameters
    ----------
    project : Project
    stream : Stream
    periods : sequence of (datetime, datetime)
        Of the replay; blocks are one or more of them.
    metric : str
        Decides which rows hindsight learns from.
    near : timedelta
        Rows that are this long before or after a block are near it.
    """
    choices: list[Hindsight] = []
    for name, distance in {"all other rows": None, f"rows within {format_duration(near)}": near}.items():
        scores = _predict_blocks(project, stream, make_blocks(periods), distance)
        if scores is not None:
            measured = measure(stream, periods, scores, metric, project.settings.train.seed)
            text = f"Each period by a model that was not fitted on it but on {name}, later ones too."
            choices.append(Hindsight(measured, text))
    if not choices:
        raise SklineError("hindsight: no block has enough other rows to fit on; replay a longer period")
    return choose_best(choices, metric)


def choose_best(choices: Sequence[Hindsight], metric: str) -> Hindsight:
    """Return the one with the best mean of the metric; one without a mean is the worst."""
    sign = -1.0 if lower_is_better(metric) else 1.0

    def rank(choice: Hindsight) -> float:
        mean = choice.measured.mean().value
        return -np.inf if mean is None else sign * mean

    return max(choices, key=rank)


def make_blocks(periods: Sequence[Bounds]) -> list[Bounds]:
    """Return blocks of about equal numbers of periods."""
    groups = np.array_split(np.arange(len(periods)), min(len(periods), MAX_BLOCKS))
    return [(periods[group[0]][0], periods[group[-1]][1]) for group in groups]


def other_rows(stream: Stream, block: slice, distance: dt.timedelta | None) -> Positions:
    """Return the rows that are not in a block, at most `distance` before or after it."""
    chosen = np.concatenate([np.arange(block.start), np.arange(block.stop, len(stream.rows))]).astype(np.intp)
    if distance is not None and block.stop > block.start:
        reach = int(distance / dt.timedelta(microseconds=1))
        times = stream.times[chosen]
        is_near = (times >= stream.times[block.start] - reach) & (times <= stream.times[block.stop - 1] + reach)
        chosen = chosen[is_near]
    return chosen


def _predict_blocks(
    project: Project, stream: Stream, blocks: Sequence[Bounds], distance: dt.timedelta | None
) -> Scores | None:
    """Return predictions of all replayed rows; None if a block cannot be fitted without it."""
    parts = []
    for start, end in blocks:
        block = stream.between(start, end)
        pipeline = _fit(project, stream, other_rows(stream, block, distance))
        if pipeline is None:
            return None
        parts.append(score_frame(pipeline, stream.rows.iloc[block][stream.contract.input_names]))
    return join_scores(parts)


def _fit(project: Project, stream: Stream, chosen: Positions) -> Any:
    """Return a pipeline that was fitted and tuned on some rows; None if one of the two parts lacks a class."""
    settings, contract = project.settings, stream.contract
    tuned = np.arange(len(chosen)) % TUNING_STEP == 0
    fit, tuning = (stream.rows.iloc[chosen[each]].reset_index(drop=True) for each in (~tuned, tuned))
    classes = set(contract.classes or ())
    if not len(tuning) or any(set(each[contract.target.name].unique()) < classes for each in (fit, tuning)):
        return None
    fitted = train(fit, contract, project.build, settings.train.params, settings.train.seed)
    pipeline, _ = tune(
        fitted, tuning, contract, method=settings.train.calibrate, threshold=settings.train.threshold,
        level=settings.train.interval, seed=settings.train.seed,
    )  # fmt: skip
    return pipeline
