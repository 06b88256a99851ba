"""`source.mode: append`: each update adds a snapshot of what is new; the sum keeps the latest revision of each row."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline import paths
from skline.cli import parser
from skline.errors import SklineError
from skline.settings.project import read_source_section
from skline.settings.source import Source
from skline.settings.source_append import AppendSettings
from skline.sources.appended import AppendedSource, add_snapshot, latest_rows
from skline.sources.kinds import table_source
from skline.stages.source_table import load_source

ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.none() | st.integers(0, 3)), min_size=1, max_size=12)


def section(uri: str, **settings: Any) -> Source:
    return read_source_section({"uri": uri, "mode": "append"} | settings)


def update(source: Source, folder: Path) -> Path | None:
    return add_snapshot(table_source(source), folder)


def total(source: Source, folder: Path) -> dict[str, list[Any]]:
    with AppendedSource.of(table_source(source), folder).open() as opened:
        return dict(pa.Table.from_batches(opened.batches, opened.schema).to_pydict())


def test_only_new_files_are_read_and_the_latest_revision_is_kept(tmp_path: Path) -> None:
    files, folder = tmp_path / "files", tmp_path / "snapshots"
    files.mkdir()
    source = section(str(files), append={"id": ["id"], "revision": "revision"})
    (files / "1.csv").write_text("id,revision,x\n1,9,old\n2,1,b\n")
    assert update(source, folder) == folder / "0001.parquet"
    assert update(source, folder) is None
    (files / "2.csv").write_text("id,revision,x\n1,10,new\n2,0,late\n3,1,c\n")
    first = (folder / "0001.parquet").read_bytes()
    assert update(source, folder) == folder / "0002.parquet"
    assert (folder / "0001.parquet").read_bytes() == first
    expected = {"id": ["2", "1", "3"], "revision": ["1", "10", "1"], "x": ["b", "new", "c"]}
    assert total(source, folder) == total(source, folder) == expected
    (files / "1.csv").write_text("id,revision,x\n1,9,other\n")
    with pytest.raises(SklineError, match=r"1\.csv was changed since it was read"):
        update(source, folder)
    (files / "1.csv").unlink()
    with pytest.raises(SklineError, match=r"1\.csv is gone since it was read"):
        update(source, folder)


def test_rows_above_the_watermark_are_added(tmp_path: Path) -> None:
    path, folder = tmp_path / "t.db", tmp_path / "snapshots"

    def run(*statements: str) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    run("CREATE TABLE t (id, changed)", "INSERT INTO t VALUES (1, 10), (2, 11)")
    source = section(f"sqlite:///{path}", query="SELECT * FROM t", sql={"watermark": "changed"}, append={"id": ["id"]})
    update(source, folder)
    run("INSERT INTO t VALUES (3, 13)", "UPDATE t SET changed = 12 WHERE id = 1")
    update(source, folder)
    assert pa.parquet.read_table(folder / "0002.parquet").to_pydict() == {"id": [1, 3], "changed": [12, 13]}
    assert total(source, folder) == {"id": [2, 1, 3], "changed": [11, 12, 13]}
    assert update(source, folder) is None


def test_ingest_reads_the_snapshots_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("files").mkdir()
    Path("files/1.csv").write_text("id,x\n1,a\n1,b\n")
    source = section("files", append={"id": ["id"]})
    with pytest.raises(SklineError, match="has no snapshot; run `uv run skline source update`"):
        load_source(source, ["x"])
    update(source, paths.SNAPSHOTS)
    Path("files/2.csv").write_text("id,x\n2,c\n")
    table, columns, lineage = load_source(source, ["x"])
    assert (table.to_pydict(), columns, lineage["superseded"]) == ({"x": ["b"]}, ["id", "x"], 1)
    assert [each["name"] for each in lineage["snapshots"]] == ["0001.parquet"]  # type: ignore[attr-defined]


def test_missing_snapshot_and_other_file_are_errors(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/1.csv").write_text("id,x\n1,a\n")
    source, folder = section(str(tmp_path / "files/*")), tmp_path / "snapshots"
    update(source, folder)
    (folder / "0001.parquet").rename(folder / "0002.parquet")
    with pytest.raises(SklineError, match=r"0001\.parquet is not here; restore the snapshots"):
        update(source, folder)
    (folder / "0002.parquet").unlink()
    pa.parquet.write_table(pa.table({"id": [1]}), folder / "0001.parquet")
    with pytest.raises(SklineError, match=r"0001\.parquet is not a snapshot of a source"):
        update(source, folder)


def test_source_that_cannot_be_read_in_parts_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SklineError, match="this source cannot be read in parts"):
        update(section(str(tmp_path / "t.csv")), tmp_path / "snapshots")


@pytest.mark.parametrize(
    ("revisions", "latest"),
    [(["9", "10"], 1), (["2024-02-01", "2024-01-31T23:00:00Z"], 0), ([None, "1"], 1), (["1", "1"], 1), ([2.5, 1.0], 0)],
)
def test_revisions_are_compared_as_numbers_or_times(revisions: Sequence[Any], latest: int) -> None:
    table = pa.table({"id": ["a", "a"], "revision": revisions})
    assert latest_rows(table, AppendSettings(id=("id",), revision="revision")).tolist() == [latest]


def test_revisions_without_an_order_and_absent_columns_are_errors() -> None:
    table = pa.table({"id": ["a"], "revision": ["v1"]})
    with pytest.raises(SklineError, match="'revision' has values that are neither numbers nor times"):
        latest_rows(table, AppendSettings(id=("id",), revision="revision"))
    with pytest.raises(SklineError, match=r"source.append names \['key'\], which the source lacks"):
        latest_rows(table, AppendSettings(id=("key",)))


@given(ROWS)
def test_of_each_id_one_row_with_the_largest_revision_is_kept(rows: list[tuple[str | None, int | None]]) -> None:
    table = pa.table({"id": pa.array([row[0] for row in rows], pa.string()), "r": pa.array([row[1] for row in rows])})
    kept = latest_rows(table, AppendSettings(id=("id",), revision="r"))
    assert np.all(np.diff(kept) > 0)
    ids = [rows[index][0] for index in kept]
    assert {row[0] for row in rows} == set(ids)
    assert ids.count(None) == sum(row[0] is None for row in rows)
    for index in kept:
        key, revision = rows[index]
        others = [(-1 if r is None else r, i) for i, (k, r) in enumerate(rows) if k == key]
        assert key is None or (-1 if revision is None else revision, index) == max(others)


def test_update_notes_the_snapshot_in_params(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("stages: {}\n")
    Path("t.csv").write_text("a,b\n1,2\n")
    Path("params.yaml").write_text("source:\n  uri: t.csv  # ours\n")

    def run() -> str:
        arguments = parser().parse_args(["source", "update"])
        arguments.run(arguments)
        return capsys.readouterr().out

    assert "source.snapshot: None → sha256:" in run()
    assert "uri: t.csv  # ours" in Path("params.yaml").read_text()
    assert "source.snapshot is up to date" in run()
    Path("t.csv").write_text("a,b\n1,3\n")
    assert "run `dvc repro`" in run()
