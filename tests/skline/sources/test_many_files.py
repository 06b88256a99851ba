"""Several files are one table, in the order of their names; files that do not fit together are named."""

import gzip
import hashlib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources.files import schema_of_first
from skline.sources.kinds import table_source


def read(uri: Path | str, **settings: object) -> pa.Table:
    remarks: list[str] = []
    with table_source(Source(uri=str(uri), **settings), remarks.append).open() as opened:  # type: ignore[arg-type]
        table = pa.Table.from_batches(opened.batches, opened.schema)
    assert opened.columns == table.column_names
    return table


def write(path: Path, content: bytes | pd.DataFrame | pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    match content:
        case bytes():
            path.write_bytes(content)
        case pa.Table():
            pq.write_table(content, path)
        case _:
            content.to_parquet(path, index=False)
    return path


def test_text_in_any_compression_is_one_table_in_the_order_of_the_names(tmp_path: Path) -> None:
    write(tmp_path / "d/2.csv.gz", gzip.compress(b"a,b\n3,z\n"))
    with pa.CompressedOutputStream(str(tmp_path / "d/3.csv.zst"), "zstd") as file:
        file.write(b"b,a\ny,4\n")  # in another order of columns
    write(tmp_path / "d/1.csv", b"a,b\n1,NA\n2, x\n")
    write(tmp_path / "d/.hidden.csv", b"c\n1\n")
    write(tmp_path / "d/_SUCCESS", b"")
    write(tmp_path / "d/1.csv.dvc", b"outs: []\n")
    expected = {"a": ["1", "2", "3", "4"], "b": [None, "x", "z", "y"]}
    assert read(tmp_path / "d").to_pydict() == expected
    assert read(tmp_path / "d/*").to_pydict() == expected
    assert read(tmp_path / "*/[12].csv*").column("a").to_pylist() == ["1", "2", "3"]


def test_formats_may_differ_between_files_of_text(tmp_path: Path) -> None:
    write(tmp_path / "1.csv", b"a,b\n1,x\n")
    write(tmp_path / "2.jsonl", b'{"a": 2, "b": "y"}\n')
    assert read(tmp_path / "*").to_pydict() == {"a": ["1", "2"], "b": ["x", "y"]}


def test_folders_of_hive_partitions_are_columns(tmp_path: Path) -> None:
    write(tmp_path / "year=2013/city=New%20York/a.parquet", pd.DataFrame({"x": [1]}))
    write(tmp_path / "year=2014/city=__HIVE_DEFAULT_PARTITION__/a.parquet", pd.DataFrame({"x": [2]}))
    assert read(tmp_path).to_pydict() == {"x": [1, 2], "year": ["2013", "2014"], "city": ["New York", None]}
    assert schema_of_first(Source(uri=str(tmp_path))).names == ["x", "year", "city"]


def test_types_of_parquet_files_widen_without_loss(tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", pa.table({"x": pa.array([1], pa.int32()), "y": pa.nulls(1)}))
    write(tmp_path / "2.parquet", pa.table({"x": [0.5], "y": ["z"]}))
    write(tmp_path / "3.parquet", pa.table({"x": pa.array([], pa.int64()), "y": pa.nulls(0)}))
    assert read(tmp_path).to_pydict() == {"x": [1.0, 0.5], "y": [None, "z"]}
    write(tmp_path / "3.parquet", pa.table({"x": [2**60 + 1], "y": ["z"]}))
    with pytest.raises(SklineError, match=r"3\.parquet has values that do not fit the types of the other files"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (b"a\n1\n", r"2\.csv lacks \['b'\], compared with 1\.csv"),
        (b"a,b,c\n1,2,3\n", r"2\.csv has \['c'\] in addition, compared with 1\.csv"),
        (gzip.compress(b"a,b\n" + b"1,2\n" * 9000, mtime=0)[:60], r"cannot read 2\.csv: .*is the file complete"),
        (b"a,b\n1,2\n3\n", r"2\.csv has 2 column names, but 1 of its lines"),
        (b"<html>", r"2\.csv is a web page"),
    ],
)
def test_file_that_does_not_fit_is_named(tmp_path: Path, second: bytes, message: str) -> None:
    write(tmp_path / "1.csv", b"a,b\n1,2\n")
    write(tmp_path / "2.csv", second)
    with pytest.raises(SklineError, match=message):
        read(tmp_path)


def test_types_without_a_common_one_are_named(tmp_path: Path) -> None:
    write(tmp_path / "m=1/t.parquet", pa.table({"x": [1]}))
    write(tmp_path / "m=2/t.parquet", pa.table({"x": ["one"]}))
    with pytest.raises(SklineError, match=r"m=2/t\.parquet has the column 'x' as string, and m=1/t\.parquet as int64"):
        read(tmp_path)
    write(tmp_path / "m=2/t.parquet", b"PAR1")
    with pytest.raises(SklineError, match=r"m=2/t\.parquet: cannot read t\.parquet"):
        read(tmp_path)
    write(tmp_path / "m=2/t.parquet", pa.table({"x": [1], "m": [2]}))
    with pytest.raises(SklineError, match=r"m=2/t\.parquet has the column 'm', and is in a folder m=…"):
        read(tmp_path)


def test_file_without_rows_adds_none_and_all_without_rows_are_rejected(tmp_path: Path) -> None:
    write(tmp_path / "1.csv", b"a,b\n")
    with pytest.raises(SklineError, match="no file of source.uri has rows"):
        read(tmp_path)
    write(tmp_path / "2.csv", b"a,b\n1,2\n")
    assert read(tmp_path).num_rows == 1
    with pytest.raises(SklineError, match=r"there is no file '.*\*\.parquet'"):
        read(tmp_path / "*.parquet")


def test_snapshot_and_lineage_have_the_digest_of_each_file(tmp_path: Path) -> None:
    contents = {"1.csv": b"a,b\n1,2\n", "2.csv": b"a,b\n3,4\n"}
    for name, content in contents.items():
        write(tmp_path / name, content)
    source = table_source(Source(uri=str(tmp_path)))
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    with source.open() as opened:
        assert opened.snapshot == source.snapshot() == {"files": digests}
        assert opened.lineage["bytes"] == 16
        assert opened.lineage["files"] == [
            {"name": name, "bytes": 8, "sha256": digest} for name, digest in digests.items()
        ]
    with source.open() as again:
        assert again.lineage == opened.lineage


def test_file_with_a_wildcard_in_its_name_is_one_file(tmp_path: Path) -> None:
    write(tmp_path / "a[1].csv", b"a,b\n1,2\n")
    write(tmp_path / "a1.csv", b"a,b\n3,4\n")
    assert read(tmp_path / "a[1].csv").column("a").to_pylist() == ["1"]
