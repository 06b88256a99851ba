"""Equal values among all rows of a table on disk are those that are found in memory."""

import datetime as dt
import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skline import batches, whole_table
from skline.batches import table_writer
from skline.whole_table import EarlierCopies, hash_values, repeated_rows, shared_value

#: Values of a column by the dtype that holds them; None is a missing one.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "str": st.sampled_from(["", "a", "A", "ä", "a\0", "1", "1.0", "long " * 9]) | st.text(max_size=2),
    "int64": st.sampled_from([0, -1, 2**53, 2**53 + 1, 2**63 - 1]) | st.integers(-9, 9),
    "float64": st.sampled_from([0.0, -0.0, 5e-324, float("inf"), 0.1]) | st.integers(-3, 3).map(float) | st.none(),
    "bool": st.booleans(),
    "datetime64[us]": st.dates(dt.date(2020, 1, 1), dt.date(2020, 1, 9)).map(pd.Timestamp) | st.none(),
}
COLUMNS = st.sampled_from(list(VALUES)).flatmap(
    lambda dtype: st.lists(VALUES[dtype] | st.none() if dtype == "str" else VALUES[dtype], min_size=1, max_size=40).map(
        lambda values: pd.Series(values, dtype=dtype)
    )
)
FEW = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a bucket have about four hashes, and be read in parts of eight."""
    monkeypatch.setattr(whole_table, "MAX_PAIRS", 8)
    monkeypatch.setattr(batches, "rows_per_batch", lambda *_: 5)


def keys_of(values: pd.Series, size: int) -> Iterator[tuple[Any, Any]]:
    """Yield the positions and hashes of the values that are not missing, in batches of rows."""
    for start in range(0, len(values), size):
        present = values.iloc[start : start + size].dropna()
        yield present.index.to_numpy(np.int64), hash_values(present)


@FEW
@given(values=COLUMNS, size=st.integers(1, 40))
def test_repeated_rows_are_those_of_the_table_in_memory(values: pd.Series, size: int, tmp_path: Path) -> None:
    found = repeated_rows(keys_of(values, size), len(values), tmp_path)
    assert found.tolist() == values.index[values.duplicated(keep=False) & values.notna()].tolist()
    assert list(tmp_path.iterdir()) == []


@example(values=pd.Series([True] * 40), size=7, read=40)
@FEW
@given(values=COLUMNS, size=st.integers(1, 40), read=st.integers(1, 40))
def test_earlier_copies_are_those_of_the_table_in_memory(
    values: pd.Series, size: int, read: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copies = EarlierCopies(keys_of(values, size), len(values), tmp_path_factory.mktemp("copies"))
    found = [copies.of(start, min(read, len(values) - start)) for start in range(0, len(values), read)]
    expected = values.groupby(values).cumcount().where(values.notna(), 0)
    assert np.concatenate(found).tolist() == expected.tolist()


@FEW
@given(values=COLUMNS, cuts=st.lists(st.integers(0, 40), min_size=1, max_size=3).map(sorted))
def test_shared_value_is_the_first_of_the_table_in_memory(
    values: pd.Series, cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    parts = [values.iloc[start:stop] for start, stop in itertools.pairwise([0, *cuts, len(values)])]
    folder = tmp_path_factory.mktemp("parts")
    files = [folder / f"{number}.parquet" for number in range(len(parts))]
    for path, part in zip(files, parts, strict=True):
        with table_writer(path) as writer:
            writer.write(part.reset_index(drop=True).to_frame("key"))
    expected = None
    for value in values.dropna():
        owners = [number for number, part in enumerate(parts) if (part == value).any()]
        if len(owners) > 1:
            expected = (value, owners)
            break
    assert shared_value(files, "key") == expected
    assert len(list(folder.iterdir())) == len(files)


@pytest.mark.parametrize(
    ("values", "text"),
    [(pd.Series([7, 8]), "7"), (pd.Series(["a", "b"], dtype="str"), "'a'"), (pd.Series([0.5, 1.0]), "0.5")],
)
def test_shared_value_is_a_python_object(values: pd.Series, text: str, tmp_path: Path) -> None:
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path in files:
        values.to_frame("key").to_parquet(path, index=False)
    found = shared_value(files, "key")
    assert found is not None
    assert repr(found[0]) == text


def test_nothing_is_found_in_tables_without_rows(tmp_path: Path) -> None:
    empty = pd.Series([], dtype="str")
    assert repeated_rows(iter([]), 0, tmp_path).tolist() == []
    assert repeated_rows(keys_of(empty, 1), 0, tmp_path).tolist() == []
    assert EarlierCopies(iter([]), 3, tmp_path).of(0, 3).tolist() == [0, 0, 0]
    for name in ("a", "b"):
        empty.to_frame("key").to_parquet(tmp_path / f"{name}.parquet", index=False)
    assert shared_value([tmp_path / "a.parquet", tmp_path / "b.parquet"], "key") is None


def unique(start: int, n_rows: int) -> Any:
    return np.arange(start, start + n_rows).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def equal(start: int, n_rows: int) -> Any:
    return np.full(n_rows, 2**63, dtype=np.uint64)


def twice(start: int, n_rows: int) -> Any:
    return unique(start % (1 << 17), n_rows)


@pytest.mark.parametrize(
    ("hashes", "expected"),
    [(unique, lambda _: 0), (equal, lambda n_rows: n_rows - 1), (twice, lambda n_rows: n_rows >> 18)],
)
def test_memory_does_not_grow_with_the_rows(
    hashes: Callable[[int, int], Any], expected: Callable[[int], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_table, "MAX_PAIRS", 1 << 14)
    peaks = []
    for n_rows in (1 << 17, 1 << 18):
        size = 1 << 13
        keys = ((np.arange(start, start + size), hashes(start, size)) for start in range(0, n_rows, size))
        tracemalloc.start()
        copies = EarlierCopies(keys, n_rows, tmp_path)
        last = copies.of(n_rows - size, size)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert last[-1] == expected(n_rows)
    assert peaks[1] < 1.3 * peaks[0]
