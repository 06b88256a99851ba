"""Weights of the rows that a pipeline is fitted and tuned on: `train.weights` of params.yaml, as functions of arrays.

Two reasons to weigh rows are known. An old row says less about the next one than a recent row does (`recency_weights`).
And labels of logged predictions are often there because of what the model predicted: those of accepted loans, of
alarms that were looked into. A row that was drawn at random for review stands for all predictions of its time, each
with the same probability of being drawn (`selection_weights`).
"""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline.errors import SklineError

Floats = npt.NDArray[np.float64]
#: Column of a row's weight in the tables of the stages; only there if `train.weights` sets one.
WEIGHT = "skline.weight"


def recency_weights(
    times: npt.NDArray[np.datetime64], half_life: dt.timedelta, newest: np.datetime64 | None = None
) -> Floats:
    """Return the weight 0.5 ** (age / half-life) of each row.

    Parameters
    ----------
    times : datetime64 array of shape (n_rows,)
    half_life : timedelta
        The age at which a row weighs half as much as the newest.
    newest : datetime64, optional
        The moment that ages are measured from, by default the latest of `times`. Rows after it weigh 1.

    Returns
    -------
    float64 array of shape (n_rows,), above 0 and at most 1

    Raises
    ------
    SklineError
        If a time is missing.
    """
    missing = int(np.isnat(times).sum())
    if missing:
        raise SklineError(
            f"train.weights.half_life: {missing:,} of {len(times):,} rows have no time, so that their age is unknown; "
            "declare the column as not nullable in src/model/contract.py, or set half_life to null"
        )
    if not len(times):
        return np.ones(0)
    moments = times.astype("datetime64[us]")
    end = moments.max() if newest is None else newest.astype("datetime64[us]")
    ages = np.maximum((end - moments) / np.timedelta64(1, "us"), 0)
    # Rows older than a thousand half-lives keep a weight above 0, so that no row is lost without being counted.
    weights: Floats = 0.5 ** np.minimum(ages / (half_life / dt.timedelta(microseconds=1)), 1_000)
    return weights


def selection_weights(selected: Any, inclusion_probability: npt.ArrayLike) -> Floats:
    """Return the number of predictions that each labelled row stands for.

    A row that was drawn at random with probability p stands for 1/p predictions: the weighted sum of anything over the
    sample has the expectation of the sum over all predictions (Horvitz and Thompson 1952, "A Generalization of Sampling
    Without Replacement From a Finite Universe"), and the weighted mean is consistent (Hájek 1971). This holds whatever
    decided on the other labels. A row whose label is there because of a decision, or for an unknown reason, stands for
    an unknown part of the predictions.

    Parameters
    ----------
    selected : array of shape (n_rows,)
        True, False or missing: `log.selected` of a snapshot.
    inclusion_probability : array of shape (n_rows,)
        In (0, 1], NaN for rows that were not drawn at random: `log.inclusion_probability`.

    Returns
    -------
    float64 array of shape (n_rows,)
        1/p for rows drawn at random, 1 for other rows whose label no decision selected, and 0 for the rest.

    Raises
    ------
    SklineError
        If a probability is not in (0, 1].
    """
    probability = np.asarray(inclusion_probability, dtype=np.float64)
    drawn = ~np.isnan(probability)
    if invalid := int((~((probability[drawn] > 0) & (probability[drawn] <= 1))).sum()):
        raise SklineError(
            f"log.inclusion_probability: {invalid:,} of {drawn.sum():,} values are not above 0 and at most 1; delete "
            "the snapshots of the feedback, `skline retrain` makes new ones from the log"
        )
    is_selected = pd.array(selected, dtype="boolean").fillna(True).to_numpy(dtype=np.bool_)
    weights = np.where(is_selected, 0.0, 1.0)
    weights[drawn] = 1 / probability[drawn]
    return weights


def normalize(weights: Floats) -> Floats:
    """Scale weights to a mean of 1, so that a regularized estimator is regularized as without weights."""
    scaled: Floats = weights / weights.mean() if len(weights) else weights
    return scaled


def effective_rows(weights: Floats) -> float:
    """Return how many rows of equal weight have the same variance of a mean (Kish 1965, "Survey Sampling")."""
    square = float((weights**2).sum())
    return float(weights.sum() ** 2 / square) if square else 0.0


def read_weights(part: Path) -> Floats | None:
    """Return the weights of the rows of a part of the table, float64 of shape (n_rows,); None if it has none."""
    import pyarrow.parquet as pq

    if WEIGHT not in pq.read_schema(part).names:
        return None
    weights: Floats = pq.read_table(part, columns=[WEIGHT])[WEIGHT].to_numpy()
    return weights
