"""Hindsight takes the rows to learn from whose predictions are best."""

import numpy as np
import pytest

from skline.evaluation.resampling import RegressionSample
from skline.retraining.replay.hindsight import Hindsight, choose_best
from skline.retraining.replay.measures import Measurement

TRUTH = np.arange(40.0)


def choice(name: str, error: float | None, metric: str) -> Hindsight:
    """Return a choice whose predictions are off by `error`; None: there are no rows, and so no mean."""
    rows = np.zeros(0) if error is None else TRUTH
    return Hindsight(Measurement([RegressionSample(rows, rows + (error or 0.0))], metric, seed=1), name)


@pytest.mark.parametrize(("metric", "errors"), [("rmse", (0.5, 0.0, 2.0)), ("r2", (40.0, 1.0, 60.0))])
def test_the_best_mean_is_chosen_also_if_it_is_zero(metric: str, errors: tuple[float, ...]) -> None:
    choices = [choice("none", None, metric)]
    choices += [choice(f"{error}", error, metric) for error in errors]
    assert choose_best(choices, metric).description == f"{min(errors)}"
