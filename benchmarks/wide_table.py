"""Make the wide table with which `skline init` is measured: numbers, categories, dates, free text, ids and flags."""

from typing import Any

import numpy as np
import pandas as pd

WORDS = ["the", "order", "was", "late", "because", "of", "bad", "weather", "and", "we", "would", "like", "our", "money"]
FIRST_DAY, DAYS = np.datetime64("2018-01-01T00:00:00"), 2_500


def wide_table(rows: int, seed: int = 0) -> pd.DataFrame:
    """Return a table of 300 columns: the target `y` is a class that depends on the first one.

    180 columns hold numbers (30 of them with missing cells), 60 categories (3 to 500 distinct ones), 28 dates (some as
    `31.12.2024`, some with a time), 10 free text, 4 codes, one the number of the row, 16 yes or no.
    """
    draw = np.random.default_rng(seed)
    columns: dict[str, Any] = {f"measure_{i}": draw.normal(50, 20, rows).round(3) for i in range(90)}
    columns |= {f"amount_{i}": draw.integers(0, 10_000, rows) for i in range(60)}
    for i in range(30):
        columns[f"reading_{i}"] = np.where(draw.random(rows) < 0.1, np.nan, draw.gamma(2, 100, rows).round(2))
    for i in range(60):
        names = np.array([f"level {number:03}" for number in range([3, 8, 30, 500][i % 4])])
        columns[f"category_{i}"] = draw.choice(names, rows)
    for i in range(28):
        moments = pd.Series(FIRST_DAY + draw.integers(0, DAYS * 86_400, rows).astype("timedelta64[s]"))
        columns[f"day_{i}"] = moments.dt.strftime(["%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%d.%m.%Y", "%Y-%m-%d"][i % 4])
    for i in range(10):
        columns[f"comment_{i}"] = [" ".join(words) for words in draw.choice(WORDS, (rows, 8))]
    for i in range(4):
        columns[f"code_{i}"] = [f"{number:010X}" for number in draw.integers(0, 1 << 40, rows)]
    columns["row_id"] = np.arange(1, rows + 1)
    columns |= {f"flag_{i}": np.where(draw.random(rows) < 0.4, "yes", "no") for i in range(16)}
    columns["y"] = (columns["measure_0"] + draw.normal(0, 20, rows) > 65).astype(int)
    return pd.DataFrame(columns)
