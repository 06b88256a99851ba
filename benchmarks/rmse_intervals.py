"""Which interval of the RMSE holds where errors have heavy tails, if a window is compared with a test part?

    uv run --group bench python -m benchmarks.rmse_intervals    # a minute; prints a table for docs/decisions/0018

Shares of windows that count as worse than the test part by more than the margin, if the true loss is none, the margin
(2.5 % are nominal) and three margins; with each method for the intervals of both values (Efron and Tibshirani 1993,
chapters 12 to 14, and Hall 1992, "On the removal of skewness by transformation"), and with percentiles of which the
error of the test part is pooled, as monitoring does.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from skline.monitoring.estimates import Estimate, estimate
from skline.monitoring.loss import ComparedRows, is_worse_beyond_chance

Floats = npt.NDArray[np.float64]

SEED, RESAMPLES, TAIL = 20261201, 999, 0.025
RMSE, MARGIN, LOSSES = 0.5, 0.02, (0, 1, 3)
#: Degrees of freedom of Student's t; the last one is the normal distribution.
FREEDOMS = (3, 5, np.inf)
#: Rows of test parts and of windows, and how many there are of each.
TEST_ROWS, LABELS = (300, 1_000, 5_000), (1_000, 10_000)
SAMPLES = {300: 1_000, 1_000: 1_000, 5_000: 500, 10_000: 500}


class Moments(NamedTuple):
    """Of the squared errors of a sample, and of its resamples: mean, standard error of the mean, and skewness.

    `resampled` and `resampled_errors` have shape (n_resamples,) and are relative to the mean.
    """

    mean: float
    error: float
    skewness: float
    rows: int
    resampled: Floats
    resampled_errors: Floats


@cache
def resample_weights(rows: int) -> npt.NDArray[np.float32]:
    """Return the shares of the rows in each resample, shape (n_resamples, rows); all samples have the same ones."""
    random = np.random.default_rng([SEED, rows])
    counts = [np.bincount(random.integers(0, rows, rows), minlength=rows) for _ in range(RESAMPLES)]
    return (np.array(counts) / rows).astype(np.float32)


def draw(rows: int, loss: int, freedom: float) -> list[Moments]:
    """Return the moments of samples whose true RMSE is worse by `loss` margins."""
    random = np.random.default_rng([SEED, rows, loss, int(min(freedom, 100))])
    scale, shape = RMSE + loss * MARGIN, (rows, SAMPLES[rows])
    if np.isinf(freedom):
        squares = (scale * random.standard_normal(shape)) ** 2
    else:
        squares = (scale / np.sqrt(freedom / (freedom - 2)) * random.standard_t(freedom, shape)) ** 2
    means, deviations = squares.mean(axis=0), squares.std(axis=0)
    skewness = ((squares - means) ** 3).mean(axis=0) / deviations**3
    shares = (squares / means).astype(np.float32)
    resampled = (resample_weights(rows) @ shares).astype(np.float64)
    variances = (resample_weights(rows) @ shares**2).astype(np.float64) - resampled**2
    errors = np.sqrt(np.maximum(variances, 1e-12) / rows)
    columns = zip(means, deviations / np.sqrt(rows), skewness, resampled.T, errors.T, strict=True)
    return [Moments(float(mean), float(error), float(skew), rows, *others) for mean, error, skew, *others in columns]


def percentile(sample: Moments) -> tuple[float, float]:
    """Return the ends of the middle 95 % of the resampled means."""
    low, high = np.quantile(sample.resampled, [TAIL, 1 - TAIL]) * sample.mean
    return float(low), float(high)


def corrected(sample: Moments) -> tuple[float, float]:
    """Return the interval of the percentiles that are corrected for bias and acceleration (BCa)."""
    bias = norm.ppf(np.clip((sample.resampled < 1).mean(), 0.001, 0.999))
    acceleration = sample.skewness / (6 * np.sqrt(sample.rows))
    z = bias + norm.ppf([TAIL, 1 - TAIL])
    low, high = np.quantile(sample.resampled, norm.cdf(bias + z / (1 - acceleration * z))) * sample.mean
    return float(low), float(high)


def studentised(sample: Moments) -> tuple[float, float]:
    """Return the interval of the resampled t statistics (bootstrap-t)."""
    low, high = np.quantile((sample.resampled - 1) / sample.resampled_errors, [TAIL, 1 - TAIL])
    return sample.mean - float(high) * sample.error, sample.mean - float(low) * sample.error


def transformed(sample: Moments) -> tuple[float, float]:
    """Return Hall's interval, by a transformation of the t statistic that removes its skewness."""
    skewness, root = sample.skewness, np.sqrt(sample.rows)
    shift = norm.ppf([1 - TAIL, TAIL]) / root - skewness / (6 * sample.rows)
    low, high = sample.mean - 3 / skewness * (np.cbrt(1 + skewness * shift) - 1) * sample.error * root
    return float(low), float(high)


Method = Callable[[Moments], tuple[float, float]]
METHODS: dict[str, Method] = {
    "percentiles": percentile, "BCa": corrected, "bootstrap-t": studentised, "Hall": transformed,
}  # fmt: skip


def to_estimate(sample: Moments, method: Method) -> Estimate:
    """Return the RMSE with its interval."""
    low, high = method(sample)
    return estimate(*(float(np.sqrt(max(each, 0.0))) for each in (sample.mean, low, high)))


def raised(tests: list[Estimate], windows: list[Estimate], rows: ComparedRows | None) -> float:
    """Return the share of windows that are worse than test parts, which are used in turn."""
    pairs = [(now, tests[number % len(tests)]) for shift in (0, 37, 74)
             for number, now in enumerate(windows, start=shift)]  # fmt: skip
    return float(np.mean([is_worse_beyond_chance(*pair, "lower", MARGIN, rows) for pair in pairs]))


def main() -> None:
    """Print the table."""
    print(f"| errors | test rows | labels | {' | '.join([*METHODS, 'pooled'])} |")
    print(f"|---|--:|--:|{'--:|' * (len(METHODS) + 1)}")
    for freedom in FREEDOMS:
        samples: dict[tuple[int, int], Any] = {(rows, 0): draw(rows, 0, freedom) for rows in TEST_ROWS}
        samples |= {(-rows, loss): draw(rows, loss, freedom) for rows in LABELS for loss in LOSSES}
        values = {
            name: {key: [to_estimate(each, method) for each in drawn] for key, drawn in samples.items()}
            for name, method in METHODS.items()
        }
        for test_rows in TEST_ROWS:
            for rows in LABELS:
                rules = [*((name, None) for name in METHODS), ("percentiles", ComparedRows(rows, test_rows))]
                cells = []
                for name, pooled in rules:
                    tests, windows = values[name][test_rows, 0], [values[name][-rows, loss] for loss in LOSSES]
                    cells.append(" / ".join(f"{raised(tests, each, pooled):.1%}" for each in windows))
                errors = "normal" if np.isinf(freedom) else f"t, {freedom} degrees"
                print(f"| {errors} | {test_rows:,} | {rows:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
