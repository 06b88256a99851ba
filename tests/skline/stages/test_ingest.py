"""Tests of the stage ingest: types, derived columns, and errors about missing columns."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from skline.batches import rebatch
from skline.contract.column_parsing import parse
from skline.contract.spec import DEFAULT_MISSING, Column
from skline.contract.table import KINDS
from skline.errors import SklineError
from skline.settings.source import Source, with_source_format
from skline.stages.derived_columns import Columns, call_prepare, conform
from skline.stages.ingest import Ingested, IngestedBatch, SourceRows, ingest, take_until
from skline.stages.parsed_table import ParsedTable
from tests.fixtures import demo
from tests.fixtures.sample_project.source import READS, prepare

KIND_OF_READS = {name: KINDS[kind] for name, kind in READS.items()}


def columns_of(
    names: list[str], prepare: Callable[[pd.DataFrame], pd.DataFrame] = prepare, *, row_wise: bool = False
) -> Columns:
    return Columns(names, demo.contract(), KIND_OF_READS, prepare, row_wise=row_wise)


def in_batches(table: pa.Table, columns: Columns, folder: Path, n_rows: int, until: dt.date | None = None) -> Ingested:
    """Ingest a table in batches of `n_rows`, and put the results together."""
    parsed = ParsedTable(folder, columns.formats())
    parsed.parse(rebatch(table.to_batches(), table.schema, n_rows))
    rows = SourceRows(parsed, columns, until)
    tables, cells, n_before = [], [], 0
    for batch in rows.batches():
        tables.append(batch.table)
        cells.append(batch.unparsed.assign(row=batch.unparsed["row"] + n_before))
        n_before += len(batch.table)
    whole = pd.concat(tables, ignore_index=True)
    return Ingested(whole, pd.concat(cells, ignore_index=True), rows.lineage())


@pytest.mark.parametrize("n_rows", [1, 700, 5_000, 1_000_000])
def test_batches_give_the_same_table_as_all_rows_at_once(tmp_path: Path, n_rows: int) -> None:
    table, names = demo.source_table()
    table = table.slice(0, 40 if n_rows == 1 else table.num_rows)
    cells = table["distance"].to_pylist()
    cells[30] = "far"
    table = table.set_column(table.column_names.index("distance"), "distance", pa.array(cells))
    flights = table["flight"].to_pylist()
    flights[-1] = None  # the number of the flight is a fraction in the whole table, and so in the text of the id
    table = table.set_column(table.column_names.index("flight"), "flight", pa.array(flights))
    expected = ingest(table, columns_of(names))
    found = in_batches(table, columns_of(names, row_wise=True), tmp_path, n_rows)
    pd.testing.assert_frame_equal(found.table, expected.table, check_dtype=False)
    assert found.unparsed.to_dict("records") == expected.unparsed.to_dict("records")
    assert len(found.unparsed) == 1
    assert found.lineage == expected.lineage


def test_prepare_that_is_not_declared_row_wise_gets_all_rows_at_once(tmp_path: Path) -> None:
    table, names = demo.source_table()
    sizes = []

    def count(frame: pd.DataFrame) -> pd.DataFrame:
        sizes.append(len(frame))
        return prepare(frame)

    in_batches(table, columns_of(names, count), tmp_path, 1_000)
    assert sizes == [table.num_rows]


def test_prepare_that_is_wrongly_declared_row_wise_is_an_error(tmp_path: Path) -> None:
    table, names = demo.source_table()

    def ranked(frame: pd.DataFrame) -> pd.DataFrame:
        return prepare(frame).assign(distance=frame["distance"].rank(method="first"))

    with pytest.raises(SklineError, match=r"declared ROW_WISE, but gives row \d+ distance = "):
        in_batches(table, columns_of(names, ranked, row_wise=True), tmp_path, 1_000)


def test_table_has_the_columns_of_the_contract_and_no_leaks() -> None:
    table, columns = demo.source_table()
    result = ingest(table, columns_of(columns))
    assert list(result.table.columns) == [column.name for column in demo.contract().columns]
    assert result.lineage["leaks_left_out"] == list(demo.contract().leaks)
    assert result.lineage["not_in_contract"] == ["tailnum", "hour", "minute"]
    assert result.lineage["rows"] == table.num_rows


def test_label_is_true_above_fifteen_minutes_and_missing_without_arrival() -> None:
    table, columns = demo.source_table()
    delays = ["15", "16", None]
    table = table.slice(0, 3).set_column(table.column_names.index("arr_delay"), "arr_delay", pa.array(delays))
    late = ingest(table, columns_of(columns)).table["late"]
    assert late.tolist()[:2] == [0.0, 1.0]
    assert pd.isna(late[2])


def test_rows_from_a_date_on_are_left_out_as_if_the_table_ended_there(tmp_path: Path) -> None:
    table, columns = demo.source_table()
    whole = ingest(table, columns_of(columns))
    until = dt.datetime(2013, 6, 1)
    cut = in_batches(table, columns_of(columns, row_wise=True), tmp_path, 5_000, until)
    assert cut.table.equals(whole.table[whole.table["departed_at"] < until].reset_index(drop=True))
    assert cut.lineage["rows"] == len(cut.table)
    assert cut.lineage["after_until"] == len(whole.table) - len(cut.table) > 0


def test_a_table_without_times_cannot_be_cut_at_a_date() -> None:
    table, columns = demo.source_table()
    whole = ingest(table, columns_of(columns))
    timeless = demo.contract().model_copy(
        update={"columns": tuple(each for each in demo.contract().columns if each.role != "time")}
    )
    with pytest.raises(SklineError, match="source.until is set, and no column"):
        take_until(IngestedBatch(whole.table, whole.unparsed), timeless, dt.date(2013, 6, 1))


def test_error_for_a_missing_column_names_the_closest_one() -> None:
    table, _ = demo.source_table()
    names = ["distnace" if name == "distance" else name for name in table.column_names]
    with pytest.raises(SklineError, match=r"lacks column 'distance' \(it has 'distnace'\)"):
        ingest(table.rename_columns(names), columns_of(names))


def test_error_for_a_missing_column_of_reads_names_it() -> None:
    table, columns = demo.source_table()
    with pytest.raises(SklineError, match="'arr_delay'.*READS"):
        ingest(table.drop_columns("arr_delay"), columns_of(columns))


def test_rejects_prepare_that_drops_rows() -> None:
    table, columns = demo.source_table()
    with pytest.raises(SklineError, match="must keep every row"):
        ingest(table, columns_of(columns, lambda frame: prepare(frame).iloc[1:]))


def test_rejects_prepare_that_returns_another_kind() -> None:
    with pytest.raises(SklineError, match="'distance' as str, the contract declares integer"):
        conform(pd.Series(["7"], dtype="str"), demo.contract()["distance"])
    assert conform(pd.Series([1.5]), demo.contract()["month"]).tolist() == [1.5]


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        (Source(uri="t.csv"), DEFAULT_MISSING),
        (Source(uri="t.csv", missing=("", "?")), ("", "?")),
        (Source(uri="t.parquet"), ("",)),
        (Source(uri="t.parquet", missing=("NA",)), ("NA",)),
        (Source(uri="sqlite:///t.db", query="SELECT 1"), ("",)),
    ],
)
def test_contract_knows_which_texts_of_the_source_are_missing_values(source: Source, missing: tuple[str, ...]) -> None:
    assert with_source_format(demo.contract(), source).missing == missing


def test_a_word_in_the_closed_set_of_a_column_is_a_category_and_no_missing_value() -> None:
    columns = demo.contract().columns
    country = Column(name="country", kind="string", nullable=True, choices=("DE", "NA"))
    contract = demo.contract().model_copy(update={"columns": (country, *columns)})
    assert "NA" not in contract.shared_missing()
    parsed = parse(pa.table({"country": ["NA", "N/A", "DE"]}), {"country": contract.cell_format(country)})
    assert parsed.frame["country"].tolist()[::2] == ["NA", "DE"]
    assert pd.isna(parsed.frame["country"][1])


def test_error_in_prepare_names_the_line_and_the_columns() -> None:
    def prepare(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(day=frame["dte"])

    with pytest.raises(
        SklineError, match=r"prepare\(\) in src/model/source.py failed with KeyError: 'dte'.* date, price"
    ):
        call_prepare(prepare, pd.DataFrame({"date": ["2020-01-01"], "price": [1.0]}))
