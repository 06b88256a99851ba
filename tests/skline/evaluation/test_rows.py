"""Rows of a part in batches: the same rows, and the same evaluation, as of the whole part in memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skline import batches
from skline.contract.spec import Column
from skline.errors import SklineError
from skline.evaluation.leakage import count_duplicates
from skline.evaluation.rows import Rows
from skline.files import write_table
from skline.settings.evaluation import Evaluate
from skline.stages.evaluate import evaluate, label_columns
from tests.fixtures import demo
from tests.skline.evaluation.shop import CONTRACT, make_rows

NAMES = ["a", "text"]


def frame(n_rows: int = 5_000) -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(n_rows), "text": [f"t{i % 7}" for i in range(n_rows)], "b": 1.5})


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rows:
    """The rows of `frame` in batches of 1,024."""
    monkeypatch.setattr(batches, "BATCH_CELLS", 1)
    monkeypatch.setattr(batches, "rows_per_batch", lambda *_: 1_024)
    write_table(tmp_path / "t.parquet", frame())
    return Rows.stored(tmp_path / "t.parquet")


def test_batches_hold_the_rows_of_the_table(stored: Rows) -> None:
    assert [len(each) for each in stored.frames(NAMES)] == [1_024, 1_024, 1_024, 1_024, 904]
    assert (stored.columns, stored.n_rows) == (["a", "text", "b"], 5_000)
    pd.testing.assert_frame_equal(stored.read(NAMES), frame()[NAMES])
    for positions in (
        np.random.default_rng(0).permutation(5_000)[:300],
        np.array([4_999, 0, 0]),
        np.array([], dtype=int),
    ):
        expected = frame()[NAMES].iloc[positions].reset_index(drop=True)
        pd.testing.assert_frame_equal(stored.take(positions, NAMES), expected)
        pd.testing.assert_frame_equal(Rows.of(frame()).take(positions, NAMES), expected)


def test_a_missing_part_is_an_error() -> None:
    with pytest.raises(SklineError, match="test.parquet is missing; run `dvc repro`"):
        Rows.stored(Path("test.parquet"))


def test_an_evaluation_in_batches_gives_the_same_figures_without_the_whole_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts, contract = demo.parts(), demo.contract()
    settings = Evaluate(resamples=100, min_segment_rows=100, baseline_rows=1_000, importance_rows=200, leak_rows=500)
    read: list[Sequence[str]] = []

    def in_batches(part: pd.DataFrame) -> Rows:
        def frames(names: list[str]) -> Iterator[pd.DataFrame]:
            for start in range(0, len(part), 700):
                yield part[names].iloc[start : start + 700].reset_index(drop=True)

        return Rows(frames, list(part.columns), len(part))

    expected = evaluate(demo.pipeline(), parts["train"], parts["test"], contract, settings, seed=1)
    whole = Rows.read

    def read_and_note(rows: Rows, names: Sequence[str]) -> pd.DataFrame:
        read.append(names)
        return whole(rows, names)

    monkeypatch.setattr(Rows, "read", read_and_note)
    found = evaluate(demo.pipeline(), in_batches(parts["train"]), in_batches(parts["test"]), contract, settings, seed=1)
    assert found.metrics["model"] == expected.metrics["model"]
    assert found.metrics["linear"] == pytest.approx(expected.metrics["linear"], rel=1e-9)  # BLAS rounds by batch size
    assert found.details["segments"] == expected.details["segments"]
    assert found.details["importance"] == expected.details["importance"]
    assert found.details["leaks"] == expected.details["leaks"]
    assert read == [label_columns(contract)]


def test_duplicates_are_those_of_a_comparison_of_values() -> None:
    table, _ = make_rows()
    train, test = table.iloc[:600].copy(), table.iloc[600:].copy()
    test.iloc[:200] = train.iloc[:200].to_numpy()
    test.iloc[100:200, 1] = None
    names = CONTRACT.input_names

    def keys(rows: pd.DataFrame, columns: Sequence[str]) -> set[str]:
        return {
            repr([None if pd.isna(value) else value for value in row])
            for row in rows[list(columns)].to_numpy().tolist()
        }

    def share(columns: Sequence[str]) -> float:
        known = keys(train, columns)
        return sum(
            repr([None if pd.isna(v) else v for v in row]) in known for row in test[list(columns)].to_numpy().tolist()
        ) / len(test)

    found = count_duplicates(Rows.of(train), Rows.of(test), CONTRACT)
    assert found["exact"] == share(names)
    for name in names:
        rest = [other for other in names if other != name]
        assert found["but"].get(name, 0.0) == pytest.approx(share(rest) - share(names))


def test_an_id_that_is_missing_is_no_shared_value() -> None:
    column = CONTRACT.with_role("id")[0]
    assert isinstance(column, Column)
    table, _ = make_rows()
    train, test = table.iloc[:600].copy(), table.iloc[600:].copy()
    test[column.name] = None
    train.loc[train.index[:5], column.name] = None
    assert count_duplicates(Rows.of(train), Rows.of(test), CONTRACT)["ids"] == {column.name: 0}
