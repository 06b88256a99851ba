"""Tests of the stage validate: each raw row is accepted, quarantined or unlabelled, and no value is coerced."""

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline import batches
from skline.contract.derive import derive
from skline.contract.table import Table, column
from skline.errors import SklineError
from skline.stages.validate import REASONS, Validated, Validator, check_quarantine, validate, validate_batches
from tests.fixtures.demo import no_failures


class Inputs(Table):
    """Three inputs."""

    n: int = column("count", example=1, ge=0, lt=10)
    x: float = column("share", example=0.5, le=1, nullable=True)
    c: str = column("class", example="a", isin=["a", "b"])


class Labelled(Inputs):
    """With target and id."""

    y: bool = column("target", role="target")
    key: str = column("id", role="id")


CONTRACT = derive(Inputs, Labelled, {})
GOOD: dict[str, Any] = {"n": 1, "x": 0.5, "c": "a", "y": True, "key": "k"}


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows on top of GOOD, ids counted, in the dtypes that ingest writes."""
    frame = pd.DataFrame([GOOD | {"key": f"k{i}"} | row for i, row in enumerate(rows)])
    for name, storage in (("n", "int64"), ("y", "bool")):
        frame[name] = frame[name].astype(
            "float64"
            if frame[name].isna().any() or (name == "n" and (frame[name].astype(float) % 1).any())
            else storage
        )
    return frame.astype({"x": "float64", "c": "str", "key": "str"})


def run(*rows: dict[str, Any], unparsed: pd.DataFrame | None = None) -> Validated:
    return validate(table(*rows), no_failures() if unparsed is None else unparsed, Labelled, CONTRACT)


def run_on_disk(folder: Path, raw: pd.DataFrame, unparsed: pd.DataFrame) -> Validated:
    """Validate a table of several batches."""
    raw.to_parquet(folder / "raw.parquet", index=False)
    unparsed.to_parquet(folder / "unparsed.parquet", index=False)
    validator = Validator(Labelled, CONTRACT)
    divided = list(validate_batches(folder / "raw.parquet", folder / "unparsed.parquet", validator, CONTRACT))
    assert len(divided) > 1
    groups = (pd.concat(frames, ignore_index=True) for frames in zip(*divided, strict=True))
    return Validated(*groups, validator.report())


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "n": st.sampled_from([1, 12, None, 1.5]),
                "c": st.sampled_from(["a", "z"]),
                "y": st.sampled_from([True, None]),
                "key": st.sampled_from(["k0", "same", "other"]),
            },
        ),
        min_size=5,
        max_size=30,
    ),
    st.sets(st.integers(0, 4)),
)
def test_batches_are_divided_as_the_whole_table(rows: list[dict[str, Any]], unparsed_rows: set[int]) -> None:
    cells = pd.DataFrame(
        {"row": sorted(unparsed_rows), "column": "n", "value": "many", "rule": "is no whole number"}
    ).astype({"row": "int64"})
    raw = table(*rows)
    expected = validate(raw, cells, Labelled, CONTRACT)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "rows_per_batch", lambda *_: 4)
        found = run_on_disk(Path(folder), raw, cells)
    for name in ("accepted", "quarantined", "unlabelled"):
        pd.testing.assert_frame_equal(
            getattr(found, name), getattr(expected, name).reset_index(drop=True), check_dtype=name == "accepted"
        )
    by_rule = {(rule["column"], rule["rule"]): rule for rule in found.report.pop("broken_rules")}
    assert by_rule == {(rule["column"], rule["rule"]): rule for rule in expected.report.pop("broken_rules")}
    assert found.report == expected.report


def test_quarantined_row_has_all_its_reasons() -> None:
    result = run({}, {"n": 12, "c": "z"}, {"n": None}, {"x": None})
    assert result.accepted["key"].tolist() == ["k0", "k3"]
    reasons = result.quarantined[REASONS].tolist()
    assert reasons[0] == "n less_than(10): 12.0; c isin(['a', 'b']): z"
    assert reasons[1] == "n must not be missing: nan"


def test_fraction_in_an_integer_column_is_quarantined_unchanged() -> None:
    result = run({}, {"n": 1.5})
    assert result.accepted["n"].tolist() == [1]
    assert result.quarantined[REASONS].tolist() == ["n must be a whole number: 1.5"]


def test_accepted_rows_have_the_storage_dtypes() -> None:
    result = run({}, {"n": None})
    assert result.accepted.dtypes.map(str).to_dict() == {c.name: c.storage for c in CONTRACT.columns}


def test_rows_without_a_label_are_unlabelled_even_if_invalid() -> None:
    result = run({}, {"y": None}, {"y": None, "n": 50})
    assert (len(result.accepted), len(result.quarantined), len(result.unlabelled)) == (1, 0, 2)
    assert result.report["unlabelled"] == 2


def test_unparsed_cell_is_the_only_reason_for_its_cell() -> None:
    unparsed = pd.DataFrame({"row": [1], "column": ["n"], "value": ["many"], "rule": ["is no whole number"]})
    result = run({}, {"n": None, "c": "z"}, unparsed=unparsed)
    assert result.quarantined[REASONS].tolist() == ["n is no whole number: many; c isin(['a', 'b']): z"]


def test_row_with_an_unparsed_label_is_quarantined_and_not_unlabelled() -> None:
    unparsed = pd.DataFrame({"row": [1], "column": ["y"], "value": ["perhaps"], "rule": ["is none of true/false"]})
    result = run({}, {"y": None}, unparsed=unparsed)
    assert (len(result.quarantined), len(result.unlabelled)) == (1, 0)


def test_first_of_equal_rows_is_accepted_and_conflicting_rows_are_all_quarantined() -> None:
    result = run({"key": "same"}, {"key": "same"}, {"key": "other", "n": 1}, {"key": "other", "n": 2})
    assert result.accepted["key"].tolist() == ["same"]
    assert result.quarantined[REASONS].tolist() == [
        "key repeats an earlier row: same",
        "key is shared by rows that differ: other",
        "key is shared by rows that differ: other",
    ]


def test_repeated_index_label_loses_no_row() -> None:
    frame = table({}, {"n": 99}, {}, {})
    frame.index = pd.Index([0, 0, 0, 1])
    result = validate(frame, no_failures(), Labelled, CONTRACT)
    assert (result.accepted["key"].tolist(), result.quarantined["key"].tolist()) == (
        ["k0", "k2", "k3"],
        ["k1"],
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="x"), "column_in_dataframe"),
        (lambda f: f.assign(extra=1), "extra"),
        (lambda f: f.assign(x=f["x"].astype(str)), "x"),
    ],
)
def test_rejects_a_table_with_other_columns_or_types(change: Any, message: str) -> None:
    with pytest.raises(SklineError, match="as a whole") as caught:
        validate(change(table({}, {})), no_failures(), Labelled, CONTRACT)
    assert message in str(caught.value)


def test_error_above_the_quarantine_limit_lists_rules_counts_and_examples() -> None:
    report = run({}, *({"c": letter} for letter in "stuvw")).report
    with pytest.raises(SklineError) as caught:
        check_quarantine(report, 0.5)
    assert "5 of 6 labelled rows (83.33%)" in str(caught.value)
    assert "c isin(['a', 'b']): 5 rows, such as 's', 't', 'u'." in str(caught.value)
    check_quarantine(report, 0.9)


def test_rejects_a_table_without_accepted_rows_at_any_limit() -> None:
    with pytest.raises(SklineError, match="no row is left to train on"):
        check_quarantine(run({"n": 50}).report, 1.0)


@settings(max_examples=40)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "n": st.integers(-2, 12) | st.none(),
                "x": st.floats(0, 2) | st.none(),
                "y": st.booleans() | st.none(),
            }
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_row_is_in_exactly_one_group(rows: list[dict[str, Any]]) -> None:
    result = run(*rows)
    keys = [key for part in result[:3] for key in part["key"]]
    assert sorted(keys) == sorted(f"k{i}" for i in range(len(rows)))
    valid = {
        f"k{i}"
        for i, r in enumerate(rows)
        if r["y"] is not None and r["n"] is not None and 0 <= r["n"] < 10 and (r["x"] is None or r["x"] <= 1)
    }
    assert set(result.accepted["key"]) == valid
