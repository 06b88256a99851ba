"""Ingest types the source's columns, derives the contract's, and says what is missing in one line."""

import pandas as pd
import pyarrow as pa
import pytest

from skline.contract.table import KINDS
from skline.errors import SklineError
from skline.stages.ingest import conform, ingest
from tests import demo
from tests.world.source import READS, prepare

KIND_OF_READS = {name: KINDS[kind] for name, kind in READS.items()}


def test_the_flights_get_the_contracts_columns_and_lose_the_leaks() -> None:
    table, columns = demo.source_table()
    result = ingest(table, columns, demo.contract(), KIND_OF_READS, prepare)
    assert list(result.table.columns) == [column.name for column in demo.contract().columns]
    assert result.facts["leaks_left_out"] == list(demo.contract().leaks)
    assert result.facts["not_in_contract"] == ["tailnum", "hour", "minute"]
    assert result.facts["rows"] == table.num_rows


def test_late_means_more_than_fifteen_minutes_and_no_arrival_means_no_label() -> None:
    table, columns = demo.source_table()
    delays = ["15", "16", None]
    table = table.slice(0, 3).set_column(table.column_names.index("arr_delay"), "arr_delay", pa.array(delays))
    late = ingest(table, columns, demo.contract(), KIND_OF_READS, prepare).table["late"]
    assert late.tolist()[:2] == [0.0, 1.0]
    assert pd.isna(late[2])


def test_a_missing_column_is_named_with_the_nearest_one() -> None:
    table, _ = demo.source_table()
    names = ["distnace" if name == "distance" else name for name in table.column_names]
    with pytest.raises(SklineError, match=r"lacks column 'distance' \(it has 'distnace'\)"):
        ingest(table.rename_columns(names), names, demo.contract(), KIND_OF_READS, prepare)


def test_a_column_that_prepare_reads_is_asked_for_by_name() -> None:
    table, columns = demo.source_table()
    with pytest.raises(SklineError, match="'arr_delay'.*READS"):
        ingest(table.drop_columns("arr_delay"), columns, demo.contract(), KIND_OF_READS, prepare)


def test_prepare_must_keep_every_row() -> None:
    table, columns = demo.source_table()
    with pytest.raises(SklineError, match="must keep every row"):
        ingest(table, columns, demo.contract(), KIND_OF_READS, lambda frame: prepare(frame).iloc[1:])


def test_prepare_must_return_the_contracts_kind() -> None:
    with pytest.raises(SklineError, match="'distance' as str, the contract says integer"):
        conform(pd.Series(["7"], dtype="str"), demo.contract()["distance"])
    assert conform(pd.Series([1.5]), demo.contract()["month"]).tolist() == [1.5]
