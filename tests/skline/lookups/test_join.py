"""Point-in-time joins: each row gets the newest value whose time had come, and never a later one."""

import datetime as dt
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from skline.errors import SklineError
from skline.lookups.history import read_history
from skline.lookups.join import join_lookups
from tests.fixtures import customers
from tests.fixtures.customers import START

DAY = dt.timedelta(days=1)


def orders(*rows: tuple[Any, dt.datetime | None]) -> pd.DataFrame:
    keys, times = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "customer_id": list(keys),
            "amount": 1.0,
            "paid": True,
            "placed_at": pd.Series(times, dtype="datetime64[us]"),
        }
    )


def joined(table: pd.DataFrame, stored: pd.DataFrame, **lookup: Any) -> tuple[pd.DataFrame, dict[str, int]]:
    contract = customers.contract(**lookup)
    history = read_history(pa.Table.from_pandas(stored), contract, "customers")
    result = join_lookups(table, contract, {"customers": history})
    assert list(result.table.columns) == [column.name for column in contract.columns]
    return result.table, result.outcomes["customers"]


def one(time: dt.datetime, average: float = 1.5, key: int = 1) -> dict[str, Any]:
    return {"customer_id": key, "updated_at": time, "avg_30d": average, "n": 4, "tier": "gold"}


def test_a_value_counts_from_its_time_on() -> None:
    stored = pd.DataFrame([one(START, 1.0), one(START + DAY, 2.0)])
    instant = dt.timedelta(microseconds=1)
    times = [START - instant, START, START + DAY - instant, START + DAY, START + 100 * DAY]
    table, outcomes = joined(orders(*((1, time) for time in times)), stored)
    assert table["avg_30d"].fillna(-1).tolist() == [-1, 1.0, 1.0, 2.0, 2.0]
    assert outcomes == {"absent": 1, "found": 4}


def test_a_delayed_value_counts_from_its_arrival_on() -> None:
    table, _ = joined(orders((1, START + DAY / 2), (1, START + DAY)), pd.DataFrame([one(START)]), delay="1d")
    assert table["avg_30d"].isna().tolist() == [True, False]


def test_a_value_that_is_too_old_is_not_used() -> None:
    stored = pd.DataFrame([one(START)])
    table, outcomes = joined(orders((1, START + 2 * DAY), (1, START + 3 * DAY)), stored, max_age="2d")
    assert table["avg_30d"].isna().tolist() == [False, True]
    assert outcomes == {"found": 1, "stale": 1}


def test_rows_without_key_or_time_and_of_unknown_keys_have_missing_values() -> None:
    stored = pd.DataFrame([one(START)])
    table, outcomes = joined(orders((1.0, None), (None, START), (2.0, START), (1.0, START)), stored)
    assert table["orders"].fillna(-1).tolist() == [-1, -1, -1, 4]
    assert table["tier"].isna().tolist() == [True, True, True, False]
    assert outcomes == {"absent": 3, "found": 1}


def test_columns_have_the_types_of_the_contract() -> None:
    contract = customers.contract()
    table, _ = joined(orders((1, START)), pd.DataFrame([one(START)]))
    for column in contract.inputs:
        expected = "float64" if column.nullable and column.kind == "integer" else column.storage
        assert str(table[column.name].dtype) == expected


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([one(START), one(START)], r"1 row with the key and time of another row, first customer_id 1 at 2026-03-01"),
        ([one(START) | {"customer_id": None}], "1 row without 'customer_id', first row 0"),
        ([one(START) | {"updated_at": None}, one(START)], "1 row without 'updated_at', first row 0"),
        ([one(START) | {"n": "many"}], "in row 0, orders is 'many', which is not a whole number"),
    ],
)
def test_a_history_in_which_it_is_undefined_what_counts_is_rejected(rows: list[Any], message: str) -> None:
    with pytest.raises(SklineError, match=message):
        joined(orders((1, START)), pd.DataFrame(rows))


def test_a_history_without_a_column_is_rejected_with_those_it_has() -> None:
    with pytest.raises(SklineError, match=r"lacks 'tier'; it has customer_id, updated_at, avg_30d, n"):
        joined(orders((1, START)), pd.DataFrame([one(START)]).drop(columns="tier"))
