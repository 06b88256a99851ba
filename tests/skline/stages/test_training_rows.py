"""The rows that a pipeline is fitted on: all that fit, or some by a hash of their values, by class or by age."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from skline import batches
from skline.errors import SklineError
from skline.row_weights import WEIGHT
from skline.settings.training import Train
from skline.stages.training_rows import TrainingRows, read_training_rows, usable_memory
from tests.fixtures import demo

GIGABYTE = 10**9


def read(folder: Path, table: pd.DataFrame, memory: int = GIGABYTE, **settings: Any) -> TrainingRows:
    table.to_parquet(folder / "train.parquet", index=False)
    columns = [*demo.contract().input_names, demo.contract().target.name]
    return read_training_rows(folder / "train.parquet", columns, demo.contract(), Train(**settings), memory)


def weighed() -> pd.DataFrame:
    train = demo.parts()["train"]
    return train.assign(**{WEIGHT: np.linspace(0.5, 1.5, len(train))})


def test_all_rows_are_taken_if_they_fit(tmp_path: Path) -> None:
    train = weighed()
    found = read(tmp_path, train)
    assert found.sample is None
    pd.testing.assert_frame_equal(found.rows, train[found.rows.columns])
    assert found.weights is not None
    assert found.weights.tolist() == train[WEIGHT].tolist()


@pytest.mark.parametrize("take", ["random", "stratified", "newest"])
def test_so_many_rows_are_taken_whatever_the_batches_with_their_weights(
    take: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = weighed()
    expected = read(tmp_path, train, rows=500, take=take)
    monkeypatch.setattr(batches, "rows_per_batch", lambda *_: 333)
    found = read(tmp_path, train, rows=500, take=take)
    pd.testing.assert_frame_equal(found.rows, expected.rows)
    assert found.weights is not None
    assert expected.weights is not None
    assert found.weights.tolist() == expected.weights.tolist()
    assert found.sample is not None
    assert (found.sample.rows, found.sample.total) == (len(found.rows), len(train)) == (500, len(train))
    assert "500 of the" in found.sample.describe()
    assert "train.rows is 500" in found.sample.describe()


def test_sample_is_the_same_in_another_order_and_another_with_another_seed(tmp_path: Path) -> None:
    train = demo.parts()["train"]
    first, shuffled, other = (
        set(read(tmp_path, table, rows=300, seed=seed).rows.itertuples(index=False, name=None))
        for table, seed in ((train, 17), (train.sample(frac=1, random_state=1), 17), (train, 18))
    )
    assert first == shuffled
    assert len(first & other) < 0.9 * len(first)


def test_stratified_sample_has_the_shares_of_the_classes_and_the_newest_has_the_latest_rows(tmp_path: Path) -> None:
    train = demo.parts()["train"]
    target = demo.contract().target.name
    stratified = read(tmp_path, train, rows=500, take="stratified").rows[target]
    assert abs(stratified.sum() - 500 * train[target].mean()) <= 1
    newest = read(tmp_path, train, rows=500, take="newest").rows
    latest = train.sort_values("departed_at", kind="stable").iloc[-500:]
    assert newest["flight_date"].min() >= latest["flight_date"].min()


def test_memory_limits_the_rows_and_says_so(tmp_path: Path) -> None:
    train = demo.parts()["train"]
    found = read(tmp_path, train, memory=100_000)
    assert found.sample is not None
    assert 0 < found.sample.rows < len(train)
    assert "half of this machine's memory (train.memory) is 0.0001 GB" in found.sample.describe()
    twice = read(tmp_path, train, memory=200_000).sample
    assert twice is not None
    assert twice.rows == pytest.approx(2 * found.sample.rows, abs=2)
    assert usable_memory() > 10**8


def test_newest_rows_need_a_time_and_a_size_needs_a_unit(tmp_path: Path) -> None:
    timeless = demo.contract().model_copy(
        update={"columns": tuple(each for each in demo.contract().columns if each.role != "time")}
    )
    demo.parts()["train"].to_parquet(tmp_path / "train.parquet", index=False)
    with pytest.raises(SklineError, match="train.take is newest, and no column"):
        read_training_rows(tmp_path / "train.parquet", ["distance"], timeless, Train(rows=5, take="newest"))
    assert Train(memory="1.5GB").memory_bytes == 1_500_000_000
    with pytest.raises(ValidationError):
        Train(memory="lots")
