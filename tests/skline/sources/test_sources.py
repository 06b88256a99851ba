"""Every file format is read alike; an unreadable file is reported in one line."""

import gzip
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources.locate import local_file, package_file
from skline.sources.many_files import find_parts
from skline.sources.sql import database_file
from skline.sources.tables import read_source

FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "é, \nx"]})
CSV = FRAME.to_csv(index=False)


def write(folder: Path, name: str) -> Path:
    path = folder / name
    match path.suffix:
        case ".gz":
            path.write_bytes(gzip.compress(CSV.encode()))
        case ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("table.csv", CSV)
        case ".parquet":
            FRAME.to_parquet(path)
        case _:
            path.write_text(CSV, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.zip", "t.parquet"])
def test_every_format_yields_the_same_table(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    table, columns = read_source(path, Source(uri=str(path)), ["b", "a", "absent"])
    assert columns == ["a", "b"]
    assert [str(value) for value in table.column("a").to_pylist()] == ["1", "2"]
    assert table.column("b").to_pylist() == ["x", "é, \nx"]


def test_reads_an_fsspec_url() -> None:
    import fsspec

    with fsspec.open("memory://bucket/t.csv", "w") as file:
        file.write(CSV)
    with local_file("memory://bucket/t.csv") as path:
        assert read_source(path, Source(uri="memory://bucket/t.csv"), ["a"])[0].num_rows == 2
    assert not path.exists()


def test_finds_a_file_in_a_package_without_importing_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tables_of_ours/data").mkdir(parents=True)
    (tmp_path / "tables_of_ours/__init__.py").write_text("raise ImportError('it needs what is not there')")
    (tmp_path / "tables_of_ours/data/t.csv").write_text(CSV, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert package_file("package:tables_of_ours/data/t.csv") == tmp_path / "tables_of_ours/data/t.csv"
    with pytest.raises(SklineError, match="has no file 'data/absent.csv'"):
        package_file("package:tables_of_ours/data/absent.csv")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("nowhere.csv", "there is no file 'nowhere.csv'"),
        ("package:no_such_package/a.csv", "the package 'no_such_package' is not installed"),
        ("memory://bucket/absent.csv", "cannot read 'memory://bucket/absent.csv'"),
    ],
)
def test_names_the_missing_file_or_package(uri: str, message: str) -> None:
    with pytest.raises(SklineError, match=message), local_file(uri):
        pass


def test_names_the_record_of_dvc_of_a_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv.dvc").touch()
    message = "there is no file '{}', but t.csv.dvc records it; run `dvc checkout t.csv.dvc`$"
    with pytest.raises(SklineError, match=message.format("t.csv")), local_file("t.csv"):
        pass
    with pytest.raises(SklineError, match=message.format(r"\*.csv")):
        find_parts("*.csv")
    with pytest.raises(SklineError, match=message.format("t.csv")):
        database_file("sqlite:///t.csv", "sqlite:///")
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    remote = s\n['remote \"s\"']\n    url = /mnt\n", encoding="utf-8")
    with pytest.raises(SklineError, match=r"records it; run `dvc pull t.csv.dvc`$"), local_file("t.csv"):
        pass


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"a,b\n", "has no rows"),
        ("t.csv", b"a,a\n1,2\n", r"more than one column called 'a' \(columns 1 and 2\)"),
        ("t.csv", b"c,d\n1,2\n", "none of the columns"),
        ("t.csv", b"a,b\n1,2\n3\n", "t.csv has 2 column names, but 1 of its lines .*line 3 has 1"),
        ("t.csv", "a,b\n1,é\n".encode("latin-1"), "line 2 holds the byte 0xe9.*--encoding"),
        ("t.parquet", b"no parquet", "cannot read t.parquet"),
        ("t.csv.gz", b"no gzip", "cannot read t.csv.gz"),
    ],
)
def test_reports_an_unreadable_file_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SklineError, match=message) as caught:
        read_source(path, Source(uri=str(path)), ["a", "b"])
    assert "\n" not in str(caught.value)


def test_archive_with_several_files_requires_a_member(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.csv", CSV)
        archive.writestr("two.csv", CSV)
    with pytest.raises(SklineError, match="contains 'one.csv', 'two.csv': name the table with --member"):
        read_source(path, Source(uri=str(path)), ["a"])
    assert read_source(path, Source(uri=str(path), member="two.csv"), ["a"])[0].num_rows == 2


def test_applies_delimiter_encoding_and_missing_values(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("a;b\n;é\nNA;y\n".encode("latin-1"))
    table, _ = read_source(path, Source(uri=str(path), delimiter=";", encoding="latin-1"), ["a", "b"])
    assert table.column("a").to_pylist() == [None, None]
    assert table.column("b").to_pylist() == ["é", "y"]
