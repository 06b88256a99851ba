"""Tables of Delta Lake and Iceberg: versions, what was added since, and one line for what is no longer there."""

import datetime as dt
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from skline.errors import SklineError
from skline.settings.project import read_source_section
from skline.settings.source import Source
from skline.sources.appended import add_snapshot
from skline.sources.kinds import table_source
from skline.sources.lake import sort_rows

pytestmark = [pytest.mark.objects, pytest.mark.filterwarnings("ignore")]

DAY = dt.datetime(2026, 1, 1)


def rows(*numbers: int) -> pa.Table:
    """A table whose rows are not in the order of their numbers."""
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "city": pa.array([None if number % 3 == 0 else f"city {number % 5}" for number in numbers]),
            "part": pa.array([number % 2 for number in numbers], pa.int64()),
            "at": pa.array([DAY] * len(numbers), pa.timestamp("us")),
        }
    )


class Delta:
    """A table of Delta Lake in a folder, with four versions of two rows each."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "delta"
        self.uri = f"delta:///{self.path}"
        self.states: list[tuple[int, dt.datetime]] = []
        for first in (5, 1, 7, 3):
            self.append(rows(first, first + 1))

    def append(self, table: pa.Table) -> None:
        from deltalake import DeltaTable, write_deltalake

        write_deltalake(self.path, table, mode="append", partition_by=["part"], schema_mode="merge")
        self.states.append((DeltaTable(self.path).version(), now()))

    def delete(self, condition: str) -> None:
        from deltalake import DeltaTable

        DeltaTable(self.path).delete(condition)

    def compact(self) -> None:
        from deltalake import DeltaTable

        DeltaTable(self.path).optimize.compact()

    def expire(self) -> None:
        from deltalake import DeltaTable

        DeltaTable(self.path).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)


class Iceberg:
    """A table of Iceberg in a catalog in SQLite, with four snapshots of two rows each."""

    def __init__(self, folder: Path) -> None:
        from pyiceberg.catalog import load_catalog

        name = f"shop_{time.monotonic_ns()}"
        catalog = load_catalog("lake")
        catalog.create_namespace(name)
        self.table = catalog.create_table(f"{name}.flights", schema=rows(1).schema)
        self.uri = f"iceberg://lake/{name}.flights"
        self.states: list[tuple[int, dt.datetime]] = []
        for first in (5, 1, 7, 3):
            self.append(rows(first, first + 1))

    def append(self, table: pa.Table) -> None:
        with self.table.update_schema() as update:
            update.union_by_name(table.schema)
        self.table.append(table)
        self.states.append((self.table.current_snapshot().snapshot_id, now()))

    def delete(self, condition: str) -> None:
        self.table.delete(condition)

    def expire(self) -> None:
        self.table.maintenance.expire_snapshots().by_ids([number for number, _ in self.states[:2]]).commit()


def now() -> dt.datetime:
    """A moment between two commits."""
    time.sleep(0.01)
    moment = dt.datetime.now(dt.UTC)
    time.sleep(0.01)
    return moment


@pytest.fixture(params=[Delta, Iceberg], ids=["delta", "iceberg"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, iceberg_catalog: int) -> Any:
    return request.param(tmp_path)


def read(uri: str, columns: list[str] | None = None, since: Any = None, **settings: Any) -> dict[str, list[Any]]:
    source = table_source(read_source_section({"uri": uri, "lake": settings}))
    with source.open(columns, since) as opened:
        table = pa.Table.from_batches(opened.batches, opened.schema)
    assert {"id", "city", "part", "at"} <= set(opened.columns)
    assert opened.snapshot == source.snapshot()
    return dict(table.to_pydict())


def test_rows_are_sorted_and_only_requested_columns_are_read(lake: Any) -> None:
    assert read(lake.uri)["id"] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert read(lake.uri)["at"] == [DAY] * 8
    assert read(lake.uri, ["city", "absent"], order=["part", "id"]) == {
        "city": ["city 2", "city 4", None, "city 3", "city 1", None, "city 0", "city 2"]
    }
    with pytest.raises(SklineError, match=r"source.lake.order names \['place'\], which the table lacks; it has \['id'"):
        read(lake.uri, order=["place"])


def test_version_and_moment_choose_the_state(lake: Any) -> None:
    for count, (version, moment) in enumerate(lake.states, start=1):
        expected = sorted([5, 6, 1, 2, 7, 8, 3, 4][: 2 * count])
        assert read(lake.uri, version=version)["id"] == expected
        assert read(lake.uri, as_of=moment.isoformat())["id"] == expected


def test_condition_is_applied_before_the_rows_arrive(lake: Any) -> None:
    assert read(lake.uri, where="part = 1 AND id > 1 AND city IS NOT NULL")["id"] == [5, 7]
    with pytest.raises(SklineError, match="the table has no rows, or none for source.lake.where"):
        read(lake.uri, where="id > 99")
    with pytest.raises(SklineError, match="source.uri: cannot read .*") as caught:
        read(lake.uri, where="absent = 1")
    assert "\n" not in str(caught.value)


def test_snapshot_changes_with_the_rows(lake: Any) -> None:
    before = table_source(Source(uri=lake.uri)).snapshot()
    lake.delete("id = 5")
    assert table_source(Source(uri=lake.uri)).snapshot() != before
    assert read(lake.uri)["id"] == [1, 2, 3, 4, 6, 7, 8]


def test_absent_state_is_one_line_with_those_that_are_there(lake: Any) -> None:
    with pytest.raises(SklineError, match=r"source.lake.version: the .*table has no .* 99.*; it has .*\d+ \(20\d\d-"):
        read(lake.uri, version=99)
    with pytest.raises(SklineError, match=r"source.lake.as_of: the .*table has no .*; it has .*\d+ \(20\d\d-"):
        read(lake.uri, as_of="2001-01-01")
    with pytest.raises(SklineError, match="version and as_of exclude each other"):
        read(lake.uri, as_of="2001-01-01", version=1)


def test_absent_table_is_one_line(lake: Any) -> None:
    with pytest.raises(SklineError, match="source.uri: there is no .*table"):
        read(lake.uri.replace("flights", "absent") if "flights" in lake.uri else f"{lake.uri}-absent")


def test_expired_state_says_what_is_still_there(lake: Any) -> None:
    lake.delete("id = 5")
    lake.expire()
    assert len(read(lake.uri)["id"]) == 7
    with pytest.raises(SklineError) as caught:
        read(lake.uri, version=lake.states[0][0])
    message = str(caught.value)
    assert "\n" not in message
    if isinstance(lake, Delta):
        assert "files of version 0 of the table are gone (VACUUM" in message
        assert "versions 4 to 6 can be read" in message
        assert read(lake.uri, version=4)["id"] == [1, 2, 3, 4, 6, 7, 8]
    else:
        assert f"no snapshot {lake.states[0][0]}, or it is expired; it has {lake.states[2][0]} (" in message


def test_only_what_was_added_is_read(lake: Any, tmp_path: Path) -> None:
    source = table_source(Source(uri=lake.uri, mode="append"))
    folder = tmp_path / "snapshots"
    assert source.incremental
    assert add_snapshot(source, folder) is not None
    assert add_snapshot(source, folder) is None
    since = source.snapshot()
    lake.append(rows(11, 9))
    if isinstance(lake, Delta):
        lake.compact()
    wider = rows(10).append_column("extra", pa.array(["new"]))
    lake.append(wider)
    added = read(lake.uri, since=since)
    assert added["id"] == [9, 10, 11]
    assert added["extra"] == [None, "new", None]
    assert read(lake.uri, ["id"], since=since) == {"id": [9, 10, 11]}
    assert add_snapshot(source, folder) == folder / "0002.parquet"
    lake.delete("id = 1")
    with pytest.raises(
        SklineError, match=r"source.uri: .* of the table \((DELETE|overwrite|delete)\) changed or removed"
    ):
        add_snapshot(source, folder)


def test_compaction_and_vacuum_are_no_change(tmp_path: Path) -> None:
    lake = Delta(tmp_path)
    before = table_source(Source(uri=lake.uri)).snapshot()
    lake.compact()
    lake.expire()
    assert table_source(Source(uri=lake.uri)).snapshot() == before
    assert read(lake.uri)["id"] == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("settings", [{"version": 1}, {"as_of": "2026-01-01"}, {"where": "id = 1"}])
def test_part_of_a_table_cannot_be_appended_to(lake: Any, tmp_path: Path, settings: dict[str, Any]) -> None:
    source = table_source(read_source_section({"uri": lake.uri, "mode": "append", "lake": settings}))
    assert not source.incremental


def test_history_that_was_removed_ends_the_appending(lake: Any, tmp_path: Path) -> None:
    source = table_source(Source(uri=lake.uri, mode="append"))
    since = source.snapshot()
    assert since is not None
    with pytest.raises(SklineError, match="another table than the one that the snapshots are of"):
        read(lake.uri, since=since | {"table": "other"})
    if isinstance(lake, Iceberg):
        with pytest.raises(SklineError, match="what was added since snapshot 77 is unknown"):
            read(lake.uri, since=since | {"snapshot": 77})
        return
    lake.append(rows(9))
    lake.compact()
    lake.expire()
    with pytest.raises(SklineError, match=r"what version 4 of the table added is unknown: VACUUM deleted its files"):
        read(lake.uri, since=since)


@pytest.mark.parametrize("uri", ["iceberg://lake", "iceberg://lake/flights", "iceberg:///shop.flights"])
def test_incomplete_address_is_one_line(iceberg_catalog: int, uri: str) -> None:
    with pytest.raises(SklineError, match="write iceberg://CATALOG/NAMESPACE.TABLE"):
        table_source(Source(uri=uri)).snapshot()


def test_catalog_that_is_not_configured_is_one_line(iceberg_catalog: int) -> None:
    with pytest.raises(
        SklineError, match=r"cannot read 'iceberg://nowhere/a.b': ValueError: URI missing.*pyiceberg.yaml"
    ):
        table_source(Source(uri="iceberg://nowhere/a.b")).snapshot()


@pytest.mark.parametrize("module", ["deltalake", "pyiceberg"])
def test_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    uri, extra = ("delta:///t", "delta") if module == "deltalake" else ("iceberg://lake/a.b", "iceberg")
    with pytest.raises(SklineError, match=rf"needs its driver: `uv add --group train 'skline\[{extra}\]'`"):
        table_source(Source(uri=uri))


def test_columns_without_an_order_do_not_matter() -> None:
    table = pa.table({"id": [2, 1], "tags": [["a"], ["b"]]})
    assert sort_rows(table, []).to_pydict() == {"id": [1, 2], "tags": [["b"], ["a"]]}
