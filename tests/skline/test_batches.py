"""Tables in batches: a file does not depend on how its rows are divided, and a batch has about as many cells as set."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.batches import MAX_ROWS, ROW_UNIT, read_frames, rebatch, rows_per_batch, table_writer
from skline.errors import SklineError

FRAME = pd.DataFrame(
    {
        "whole": np.arange(50),
        "share": np.linspace(0, 1, 50),
        "flag": np.arange(50) % 3 == 0,
        "text": pd.Series([f"text {number % 7}" for number in range(50)], dtype="str"),
        "time": np.arange(50).astype("datetime64[us]"),
    }
)


def write(path: Path, frames: list[pd.DataFrame]) -> bytes:
    with table_writer(path) as writer:
        for frame in frames:
            writer.write(frame)
    return path.read_bytes()


@settings(deadline=None, max_examples=20)
@given(cuts=st.sets(st.integers(0, 50)))
def test_file_is_the_same_however_rows_are_divided(cuts: set[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("table")
    FRAME.to_parquet(folder / "pandas.parquet", index=False)
    ends = [0, *sorted(cuts), 50]
    frames = [FRAME.iloc[start:end] for start, end in itertools.pairwise(ends)]
    assert write(folder / "written.parquet", frames) == (folder / "pandas.parquet").read_bytes()
    assert [path.name for path in sorted(folder.iterdir())] == ["pandas.parquet", "written.parquet"]


@pytest.mark.parametrize("first_missing", [0, 20, 49])
def test_column_is_float_in_all_rows_if_a_cell_is_missing_in_one_batch(tmp_path: Path, first_missing: int) -> None:
    whole = FRAME.astype({"whole": "float64", "flag": "float64"})
    whole.loc[first_missing, ["whole", "flag"]] = np.nan
    frames = [
        part if part["whole"].isna().any() else part.astype({"whole": "int64", "flag": "bool"})
        for part in (whole.iloc[:10], whole.iloc[10:30], whole.iloc[30:])
    ]
    whole.to_parquet(tmp_path / "pandas.parquet", index=False)
    assert write(tmp_path / "t.parquet", frames) == (tmp_path / "pandas.parquet").read_bytes()


def test_column_of_two_types_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(SklineError, match="the column 'whole' is int64 and str in different rows"):
        write(tmp_path / "t.parquet", [FRAME, FRAME.astype({"whole": "str"})])
    assert list(tmp_path.iterdir()) == []


def test_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", [FRAME.iloc[:0]])
    (frame,) = read_frames(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(frame, FRAME.iloc[:0])


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 12))
def test_batches_have_the_size_that_is_requested(sizes: list[int], n_rows: int) -> None:
    schema = pa.schema([("x", pa.int64())])
    numbers = iter(range(100))
    given_batches = [pa.record_batch([pa.array([next(numbers) for _ in range(size)])], schema=schema) for size in sizes]
    batches = list(rebatch(given_batches, schema, n_rows))
    assert [value for batch in batches for value in batch.column(0).to_pylist()] == list(range(sum(sizes)))
    assert all(batch.num_rows == n_rows for batch in batches[:-1])
    assert batches[-1].num_rows <= n_rows
    assert (batches[-1].num_rows > 0) == (sum(sizes) > 0)


def test_frames_are_the_file_in_order_and_only_its_columns_that_are_requested(tmp_path: Path) -> None:
    n_rows = 2 * rows_per_batch(2) + 7
    pq.write_table(pa.table({"a": np.arange(n_rows), "b": np.ones(n_rows)}), tmp_path / "t.parquet")
    frames = list(read_frames(tmp_path / "t.parquet", ["a"]))
    assert [len(frame) for frame in frames] == [rows_per_batch(2), rows_per_batch(2), 7]
    assert pd.concat(frames)["a"].tolist() == list(range(n_rows))
    with pytest.raises(SklineError, match="run `dvc repro`"):
        next(read_frames(tmp_path / "absent.parquet"))


@given(st.integers(0, 5_000))
def test_rows_of_a_batch_are_within_their_bounds(n_columns: int) -> None:
    n_rows = rows_per_batch(n_columns)
    assert ROW_UNIT <= n_rows <= MAX_ROWS
    assert n_rows % ROW_UNIT == 0
