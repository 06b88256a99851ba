"""Rows of a source that cannot be read keep their place: each is in quarantine with its reason, and counted."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from skline.contract.table import KINDS
from skline.errors import SklineError
from skline.sources.unreadable import UNREADABLE
from skline.stages.derived_columns import Columns
from skline.stages.ingest import Ingested, SourceRows, ingest
from skline.stages.parsed_table import ParsedTable
from skline.stages.validate import check_quarantine, validate
from tests.fixtures import demo
from tests.fixtures.sample_project import contract as declared
from tests.fixtures.sample_project.source import READS, prepare

ROWS = 40


def columns_of(table: pa.Table, *, row_wise: bool = False) -> Columns:
    reads = {name: KINDS[kind] for name, kind in READS.items()}
    names = [name for name in table.column_names if name != UNREADABLE]
    return Columns(names, demo.contract(), reads, prepare, row_wise=row_wise)


def ingested(table: pa.Table) -> Ingested:
    return ingest(table, columns_of(table))


def with_unreadable(positions: list[int]) -> pa.Table:
    """Flights, with unreadable rows at these positions."""
    table = demo.source_table()[0].slice(0, ROWS)
    places: list[int | None] = [
        None if position in positions else position - sum(other < position for other in positions)
        for position in range(ROWS + len(positions))
    ]
    reasons = [f"partition 0, offset {place}" if places[place] is None else None for place in range(len(places))]
    return table.take(pa.array(places, pa.int64())).append_column(UNREADABLE, pa.array(reasons, pa.string()))


@pytest.mark.parametrize("positions", [[0], [ROWS], [3, 4, 20, ROWS + 3]])
def test_unreadable_rows_change_no_other_row(positions: list[int]) -> None:
    plain = ingested(demo.source_table()[0].slice(0, ROWS))
    expected = validate(plain.table, plain.unparsed, declared.Labelled, demo.contract())
    result = ingested(with_unreadable(positions))
    checked = validate(result.table, result.unparsed, declared.Labelled, demo.contract())
    pd.testing.assert_frame_equal(checked.accepted, expected.accepted)
    assert checked.report["quarantined"] == expected.report["quarantined"] + len(positions)
    assert checked.report["unlabelled"] == expected.report["unlabelled"]
    assert checked.report["rows"] == result.lineage["rows"] == ROWS + len(positions)
    reasons = checked.quarantined.loc[positions, "reasons"].tolist()
    assert reasons == [f"(row) cannot be read: partition 0, offset {position}" for position in positions]


@pytest.mark.parametrize("row_wise", [True, False])
def test_batches_keep_the_places_of_unreadable_rows(tmp_path: Path, *, row_wise: bool) -> None:
    table = with_unreadable([0, 3, 11, ROWS + 3])
    columns, expected = columns_of(table, row_wise=row_wise), ingested(table)
    parsed = ParsedTable(tmp_path, columns.formats())
    parsed.parse(batch for start in range(0, table.num_rows, 9) for batch in table.slice(start, 9).to_batches())
    rows, first, places = SourceRows(parsed, columns), 0, []
    tables = []
    for batch in rows.batches():
        places += (batch.unparsed.loc[batch.unparsed["column"] == "(row)", "row"] + first).tolist()
        tables.append(batch.table)
        first += len(batch.table)
    assert places == [0, 3, 11, ROWS + 3]
    assert rows.lineage() == expected.lineage
    pd.testing.assert_frame_equal(pd.concat(tables, ignore_index=True), expected.table, check_dtype=False)


def test_unreadable_rows_are_a_broken_rule_with_examples_and_count_for_the_limit() -> None:
    result = ingested(with_unreadable([0, 7]))
    checked = validate(result.table, result.unparsed, declared.Labelled, demo.contract())
    [rule] = [rule for rule in checked.report["broken_rules"] if rule["column"] == "(row)"]
    assert rule["examples"] == ["partition 0, offset 0", "partition 0, offset 7"]
    assert (rule["rule"], rule["rows"]) == ("cannot be read", 2)
    assert np.isnan(checked.quarantined.loc[0, "distance"])
    with pytest.raises(SklineError, match=r"\(row\) cannot be read: 2 rows, such as 'partition 0, offset 0'"):
        check_quarantine(checked.report, max_quarantined=0.01)
