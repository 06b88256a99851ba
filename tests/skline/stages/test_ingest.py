"""Tests of the stage ingest: types, derived columns, and errors about missing columns."""

import pandas as pd
import pyarrow as pa
import pytest

from skline.contract.column_parsing import parse
from skline.contract.spec import DEFAULT_MISSING, Column
from skline.contract.table import KINDS
from skline.errors import SklineError
from skline.settings.source import Source, with_source_format
from skline.stages.ingest import call_prepare, conform, ingest
from tests.fixtures import demo
from tests.fixtures.sample_project.source import READS, prepare

KIND_OF_READS = {name: KINDS[kind] for name, kind in READS.items()}


def test_table_has_the_columns_of_the_contract_and_no_leaks() -> None:
    table, columns = demo.source_table()
    result = ingest(table, columns, demo.contract(), KIND_OF_READS, prepare)
    assert list(result.table.columns) == [column.name for column in demo.contract().columns]
    assert result.lineage["leaks_left_out"] == list(demo.contract().leaks)
    assert result.lineage["not_in_contract"] == ["tailnum", "hour", "minute"]
    assert result.lineage["rows"] == table.num_rows


def test_label_is_true_above_fifteen_minutes_and_missing_without_arrival() -> None:
    table, columns = demo.source_table()
    delays = ["15", "16", None]
    table = table.slice(0, 3).set_column(table.column_names.index("arr_delay"), "arr_delay", pa.array(delays))
    late = ingest(table, columns, demo.contract(), KIND_OF_READS, prepare).table["late"]
    assert late.tolist()[:2] == [0.0, 1.0]
    assert pd.isna(late[2])


def test_error_for_a_missing_column_names_the_closest_one() -> None:
    table, _ = demo.source_table()
    names = ["distnace" if name == "distance" else name for name in table.column_names]
    with pytest.raises(SklineError, match=r"lacks column 'distance' \(it has 'distnace'\)"):
        ingest(table.rename_columns(names), names, demo.contract(), KIND_OF_READS, prepare)


def test_error_for_a_missing_column_of_reads_names_it() -> None:
    table, columns = demo.source_table()
    with pytest.raises(SklineError, match="'arr_delay'.*READS"):
        ingest(table.drop_columns("arr_delay"), columns, demo.contract(), KIND_OF_READS, prepare)


def test_rejects_prepare_that_drops_rows() -> None:
    table, columns = demo.source_table()
    with pytest.raises(SklineError, match="must keep every row"):
        ingest(table, columns, demo.contract(), KIND_OF_READS, lambda frame: prepare(frame).iloc[1:])


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
