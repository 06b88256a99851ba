"""The metric of each period, and the means of policies and their differences, with intervals.

Within a period rows are drawn with replacement (`skline.evaluation.bootstrap`), each period by itself, and two policies
on the same rows. The intervals assume independent rows, and take the models as they are: they say how well the period
shows which policy predicted better, not what another period or another seed would show.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.evaluation.bootstrap import Statistics, metric_value, percentile_interval, resample
from skline.evaluation.metric_values import compute_resampled_metrics
from skline.evaluation.metrics import METRICS, comparison_metrics, lower_is_better
from skline.evaluation.resampling import Draws, Sample, make_sample
from skline.monitoring.checks import State
from skline.monitoring.estimates import Estimate, estimate
from skline.retraining.replay.outcome import Period
from skline.retraining.replay.stream import Stream
from skline.scoring.scores import Scores

Floats = npt.NDArray[np.float64]
RESAMPLES = 300


class Measurement:
    """The metric of one policy in each period.

    Parameters
    ----------
    samples : sequence of Sample
        The labelled rows of each period with their predictions.
    metric : str
    seed : int
    """

    def __init__(self, samples: Sequence[Sample], metric: str, seed: int) -> None:
        self._samples, self._metric, self._seed = samples, metric, seed
        self.values: Floats = np.array([_value(sample, metric) for sample in samples])

    def estimates(self) -> list[Estimate]:
        """Return the metric of each period with its interval."""
        results = []
        for number, (sample, value) in enumerate(zip(self._samples, self.values, strict=True)):
            ends = percentile_interval(self._resampled((sample,), number, self._single)) if np.isfinite(value) else None
            results.append(estimate(float(value), *(ends or (None, None))))
        return results

    def mean(self) -> Estimate:
        """Return the mean over the periods that have a value, weighted by their rows."""
        return self._mean([(sample,) for sample in self._samples], self.values, self._single)

    def gain(self, other: "Measurement") -> Estimate:
        """Return how much better the mean is than that of another policy on the same rows; above zero is better."""
        pairs = list(zip(self._samples, other._samples, strict=True))
        sign = -1.0 if lower_is_better(self._metric) else 1.0

        def difference(samples: Sequence[Sample], draws: Draws) -> dict[str, Floats]:
            mine, theirs = (self._single((each,), draws)["value"] for each in samples)
            return {"value": sign * (mine - theirs)}

        return self._mean(pairs, sign * (self.values - other.values), difference)

    def _mean(self, samples: Sequence[tuple[Sample, ...]], values: Floats, statistics: Statistics) -> Estimate:
        known = np.flatnonzero(np.isfinite(values)).tolist()
        if not known:
            return Estimate()
        weights = np.array([samples[number][0].size for number in known], dtype=np.float64)
        weights /= weights.sum()
        drawn = np.array([self._resampled(samples[number], number, statistics) for number in known])
        ends = percentile_interval(weights @ drawn)
        return estimate(float(weights @ values[known]), *(ends or (None, None)))

    def _resampled(self, samples: Sequence[Sample], number: int, statistics: Statistics) -> Floats:
        """Return the metric of resamples of a period, which are the same rows for every policy."""
        return resample(samples, statistics, RESAMPLES, self._seed + number)["value"]

    def _single(self, samples: Sequence[Sample], draws: Draws) -> dict[str, Floats]:
        return {"value": compute_resampled_metrics(samples[0], draws, self._metric)[self._metric]}


def choose_metric(contract: Contract, name: str | None) -> str:
    """Return the metric of a replay: the one that is named, else log loss for classes and RMSE for numbers.

    Raises
    ------
    SklineError
        If the metric is unknown for the task, or depends on the threshold, which each version has its own.
    """
    metric = name or ("log_loss" if contract.classes is not None else "rmse")
    possible = [each for each in comparison_metrics(contract.task) if not METRICS[each].of_classes]
    if metric not in possible:
        raise SklineError(f"a replay cannot compare policies by {metric!r}; choose one of {', '.join(possible)}")
    return metric


def measure(
    stream: Stream, periods: Sequence[tuple[dt.datetime, dt.datetime]], scores: Scores, metric: str, seed: int
) -> Measurement:
    """Measure one policy in each period.

    Parameters
    ----------
    stream : Stream
    periods : sequence of (datetime, datetime)
        Start and end of each period of the replay.
    scores : Scores
        The predictions of the replayed rows: one for each of `stream.live`.
    metric : str
    seed : int
        Of the resamples; the same for all policies.
    """
    return Measurement(list(_samples(stream, periods, scores)), metric, seed)


def to_periods(
    stream: Stream,
    periods: Sequence[tuple[dt.datetime, dt.datetime]],
    measured: Measurement,
    models: Sequence[tuple[str, str | None]],
    states: Mapping[dt.datetime, State],
) -> tuple[Period, ...]:
    """Return the periods of an outcome.

    Parameters
    ----------
    stream : Stream
    periods : sequence of (datetime, datetime)
    measured : Measurement
    models : sequence of (version, digest)
        The model that made most of the predictions of each period, and its digest if it has one.
    states : mapping of datetime to State
        The state of monitoring by the end of its window.
    """
    found = []
    for (start, end), metric, (name, digest) in zip(periods, measured.estimates(), models, strict=True):
        rows = stream.between(start, end)
        count = rows.stop - rows.start
        found.append(
            Period(
                start=start, end=end, rows=count, labels=count, metric=metric, model=name, artifact_sha256=digest,
                state=states.get(end),
            )
        )  # fmt: skip
    return tuple(found)


def _samples(
    stream: Stream, periods: Sequence[tuple[dt.datetime, dt.datetime]], scores: Scores
) -> Iterator[Sample]:  # fmt: skip
    for start, end in periods:
        rows = stream.between(start, end)
        own = slice(rows.start - stream.first, rows.stop - stream.first)
        yield make_sample(stream.truth[rows], scores[own], stream.contract, 0.5)


def _value(sample: Sample, metric: str) -> float:
    return metric_value(sample, metric) if sample.size else float("nan")
