"""Windows whose metric is compared with that on the test part, which is an estimate as well.

The true loss is known: with a share of the rows the label no longer depends on the score (or the errors of a regression
are larger by this share), and each metric here is a linear function of this share.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.simulations.windows import DAY, START, STREAM, WITH_HISTORY
from skline.evaluation.bootstrap import metric_value, percentile_interval, resample
from skline.evaluation.metric_values import compute_resampled_metrics
from skline.evaluation.metrics import lower_is_better
from skline.evaluation.resampling import BinarySample, RegressionSample, Sample
from skline.monitoring.checks import Check
from skline.monitoring.estimates import Estimate, estimate
from skline.monitoring.label_results import MetricResult, Performance
from skline.monitoring.loss import ComparedRows, is_worse, is_worse_than_reference
from skline.monitoring.performance import metric_estimates, performance_checks
from skline.monitoring.persistence import PastWindow, distinct_windows, with_state
from skline.settings.evaluation import Evaluate
from skline.settings.monitor import Monitor

SETTINGS, EVALUATE = Monitor(), Evaluate()
MARGIN = SETTINGS.performance.margin
TEST_ROWS, LABELS = (300, 1_000, 5_000), (300, 1_000, 10_000)
#: True losses, in margins.
LOSSES = (0, 1, 3)
#: Rows from which the true loss is computed.
TRUTH_ROWS = 500_000
#: Parameters of the distribution of scores, and its mean, which is the rate of positives.
SCORES, POSITIVE = (2, 4), 1 / 3
#: RMSE of the regression, whose target has a standard deviation of 1, and the degrees of freedom of its errors.
RMSE, FREEDOM = 0.5, 5

Draw = Callable[[np.random.Generator, int, float], Sample]


class Case(NamedTuple):
    """A metric, and how rows are drawn: `draw(random, rows, share)`."""

    metric: str
    draw: Draw

    @property
    def direction(self) -> int:
        """1 if higher values are worse, otherwise -1."""
        return 1 if lower_is_better(self.metric) else -1


def draw_binary(random: np.random.Generator, rows: int, share: float) -> Sample:
    """Draw calibrated scores, and labels of which a share does not depend on the score."""
    scores = random.beta(*SCORES, rows)
    is_changed = random.random(rows) < share
    return BinarySample(random.random(rows) < np.where(is_changed, POSITIVE, scores), scores, 0.5)


def draw_regression(random: np.random.Generator, rows: int, share: float) -> Sample:
    """Draw predictions with heavy-tailed errors (Student's t), which are larger by a share."""
    errors = random.standard_t(FREEDOM, rows) * RMSE / np.sqrt(FREEDOM / (FREEDOM - 2))
    return RegressionSample(np.zeros(rows), errors * (1 + share))


CASES: dict[str, Case] = {
    "ROC AUC": Case("roc_auc", draw_binary),
    "RMSE, heavy-tailed errors": Case("rmse", draw_regression),
}


class Verdicts(NamedTuple):
    """Whether a window is raised and is an alarm, and whether other rules raise it.

    Attributes
    ----------
    own : bool
        The error of the test part is that of its own interval alone.
    exact : bool
        The test part is taken as exact.
    """

    raised: bool
    alarm: bool
    own: bool
    exact: bool


def share_of_loss(case: Case, loss: float, seed: int) -> float:
    """Return the share with which the true metric is worse by `loss`."""
    now, worst = (
        metric_value(case.draw(np.random.default_rng(seed), TRUTH_ROWS, share), case.metric) for share in (0.0, 1.0)
    )
    return loss / (case.direction * (worst - now))


def reference_estimate(case: Case, random: np.random.Generator, rows: int) -> Estimate:
    """Return the metric on a test part, as the stage evaluate does."""
    sample = case.draw(random, rows, 0.0)
    values = resample(
        (sample,),
        lambda samples, draws: compute_resampled_metrics(samples[0], draws, case.metric),
        EVALUATE.resamples,
        int(random.integers(2**31)),
    )[case.metric]
    return estimate(metric_value(sample, case.metric), *(percentile_interval(values) or (None, None)))


def window_estimate(case: Case, random: np.random.Generator, rows: int, share: float) -> Estimate:
    """Return the metric on the labels of a window, as monitoring does."""
    sample = case.draw(random, rows, share)
    n_resamples, seed = SETTINGS.performance.resamples, int(random.integers(2**31))
    labelled = np.ones(rows, dtype=bool)
    return metric_estimates(sample, labelled, None, None, n_resamples, seed, only=case.metric)[case.metric]


def judge_streams(
    case: Case, references: Sequence[Estimate], windows: Sequence[Estimate], rows: ComparedRows
) -> list[Verdicts]:
    """Return the verdicts of the windows that have a history; each stream has one test part and some windows.

    Test parts and windows are used in turn: the first stream has the windows from 0 on, the next one those from 1.
    """
    return [
        verdict
        for first in range(max(len(references), len(windows)))
        for verdict in _judge_stream(
            case,
            references[first % len(references)],
            [windows[(first + each) % len(windows)] for each in range(STREAM)],
            rows,
        )
    ]


def _judge_stream(
    case: Case, reference: Estimate, windows: Sequence[Estimate], rows: ComparedRows
) -> list[Verdicts]:  # fmt: skip
    past: list[PastWindow] = []
    verdicts = []
    for number, value in enumerate(windows):
        start = START + number * DAY
        metric = MetricResult(
            name=case.metric, label=case.metric, better="lower" if case.direction > 0 else "higher", estimate=value,
            reference=reference,
        )  # fmt: skip
        check = _check(metric, rows, start)
        history = distinct_windows(past, start, SETTINGS.of_windows - 1)
        state = with_state(check, start, history, SETTINGS.persist).state
        past.append(PastWindow(start, start + DAY, {check.key: check.raised}))
        limit = (reference.value or 0.0) + case.direction * MARGIN
        verdicts.append(
            Verdicts(
                bool(check.raised),
                state == "alarm",
                bool(is_worse_than_reference(metric, MARGIN)),
                bool(is_worse(metric, limit)),
            )
        )
    return verdicts[-WITH_HISTORY:]


def _check(metric: MetricResult, rows: ComparedRows, start: dt.datetime) -> Check:
    """Return skline's check of a window against the test part."""
    performance = Performance(
        start=start, end=start + DAY, metric=metric.name, rows=rows.now, labelled=rows.now, weighted=False,
        uncovered=0.0, entities=None, test_rows=rows.reference, metrics=(metric,),
    )  # fmt: skip
    (check,) = performance_checks(performance, MARGIN, SETTINGS.performance.min_labels)
    return check
