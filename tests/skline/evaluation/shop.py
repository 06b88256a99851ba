"""Rows of a made-up shop, shared by the tests of segments and leakage."""

import numpy as np
import pandas as pd

from skline.contract.spec import Column, Contract
from skline.scoring.scores import Scores

CONTRACT = Contract(
    title="Shop",
    columns=(
        Column(name="age", kind="number", nullable=True),
        Column(name="town", kind="string", nullable=True, segment=True, sensitive=True),
        Column(name="day", kind="date", example="2026-01-01"),
        Column(name="level", kind="integer", role="segment", segment=True, nullable=True),
        Column(name="key", kind="string", role="id"),
        Column(name="bought", kind="boolean", role="target"),
    ),
    task="binary",
    classes=(False, True),
)
N = 1_200


def make_rows() -> tuple[pd.DataFrame, Scores]:
    """Return the table and the scores of a model; no row of town C is positive, and some towns are missing."""
    random = np.random.default_rng(3)
    truth = random.random(N) < 0.4
    town = np.array(["A", "B", "C", None], dtype=object)[np.arange(N) % 4]
    truth &= town != "C"
    probability = np.clip(0.3 * truth + random.random(N) * 0.7, 0, 1)
    table = pd.DataFrame(
        {
            "age": random.normal(40, 9, N).round(), "town": pd.array(town, dtype="str"),
            "day": pd.Timestamp("2026-01-01"), "level": np.where(np.arange(N) % 100 == 0, np.nan, np.arange(N) % 2),
            "key": [f"k{number}" for number in range(N)], "bought": truth,
        }
    )  # fmt: skip
    return table, Scores(probability >= 0.5, np.column_stack([1 - probability, probability]))
