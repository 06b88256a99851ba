"""A later file is read as it is written, not as the file that the model was trained on; what differs is said."""

import gzip
import io
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from skline.batch.read import TableFormat, TableReader
from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources.tables import header, read_source

CITIES = ["Köln", "Zürich", "Łódź"]
LATER = "id,city\n" + "".join(f"{row},{city}\n" for row, city in enumerate(CITIES * 4))


def read_parts(path: Path, table_format: TableFormat) -> tuple[list[dict[str, str | None]], list[str]]:
    """Read a table as `skline score` does; returns its rows and the remarks."""
    reader = TableReader(path, table_format)
    rows = [row for part in reader.parts(reader.columns, []) for row in part.to_pylist()]
    return rows, reader.remarks


def written(folder: Path, content: str | bytes, name: str = "later.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def packed(content: str, name: str) -> bytes:
    """Compress a text as the suffix of `name` says."""
    if name.endswith(".gz"):
        return gzip.compress(content.encode())
    if not name.endswith(".zip"):
        return content.encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("table.csv", content)
    return archive.getvalue()


@pytest.mark.parametrize("name", ["later.csv", "later.csv.gz"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf8_is_not_read_as_the_code_page_of_the_source(tmp_path: Path, mark: str, name: str) -> None:
    content = (mark + LATER).encode()
    path = written(tmp_path, gzip.compress(content) if name.endswith("gz") else content, name)
    source = Source(uri="first.csv", encoding="cp1252")
    rows, remarks = read_parts(path, TableFormat(default=source))
    assert [row["city"] for row in rows[:3]] == CITIES
    assert len(remarks) == 1
    assert "is read as utf-8" in remarks[0]
    said: list[str] = []
    table, _ = read_source(path, source, ["city"], said.append)
    assert table.column("city").to_pylist()[:3] == CITIES
    assert said == remarks


def test_a_file_in_the_code_page_of_the_source_is_read_in_it(tmp_path: Path) -> None:
    path = written(tmp_path, "id,city\n1,Köln\n".encode("cp1252"))
    rows, remarks = read_parts(path, TableFormat(default=Source(uri="first.csv", encoding="cp1252")))
    assert (rows[0]["city"], remarks) == ("Köln", [])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_byte_order_mark_takes_precedence(tmp_path: Path, encoding: str) -> None:
    rows, _ = read_parts(written(tmp_path, LATER.encode(encoding)), TableFormat())
    assert [row["city"] for row in rows[:3]] == CITIES


def test_undecodable_bytes_name_the_line_and_the_option(tmp_path: Path) -> None:
    path = written(tmp_path, "id,city\n1,x\n2,Köln\n".encode("cp1252"))
    message = r"line 3 holds the byte 0xf6.*looks like cp1252.*--encoding"
    with pytest.raises(SklineError, match=message):
        read_parts(path, TableFormat())
    with pytest.raises(SklineError, match=message):
        read_source(path, Source(uri="later.csv"), ["id", "city"])


@pytest.mark.parametrize("prefix", ["Report of March\n", "\n", "sep=,\n", "# a comment\n"])
def test_lines_above_the_names_are_those_of_the_file_itself(tmp_path: Path, prefix: str) -> None:
    rows, remarks = read_parts(written(tmp_path, prefix + LATER), TableFormat(default=Source(uri="first.csv", skip=5)))
    assert (len(rows), rows[0]) == (12, {"id": "0", "city": "Köln"})
    assert "line 1 is skipped" in remarks[0]
    rows, remarks = read_parts(written(tmp_path, LATER), TableFormat(default=Source(uri="first.csv", skip=5)))
    assert (len(rows), remarks) == (12, [])


@pytest.mark.parametrize("name", ["later.csv", "later.csv.gz", "later.csv.zip"])
def test_a_title_and_a_total_are_not_scored_and_it_is_said(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, packed("Report of March\n" + LATER + "Total,12\n", name), name)
    rows, remarks = read_parts(path, TableFormat())
    assert [row["id"] for row in rows] == [str(row) for row in range(12)]
    assert ["line 1 is skipped" in remarks[0], "'Total,12'" in remarks[1]] == [True, True]
    assert len(read_parts(path, TableFormat(skip_footer=0))[0]) == 13


@pytest.mark.parametrize("name", ["later.csv", "later.csv.gz", "later.csv.zip"])
def test_the_end_of_a_later_source_is_skipped_only_if_it_looks_like_a_footer(tmp_path: Path, name: str) -> None:
    def ids(content: str, **settings: object) -> tuple[list[str], list[str]]:
        said: list[str] = []
        source = Source.model_validate({"uri": name, "skip_footer": 1} | settings)
        table, _ = read_source(written(tmp_path, packed(content, name), name), source, ["id"], said.append)
        return table.column("id").to_pylist(), said

    every_row = [str(row) for row in range(12)]
    assert ids(LATER + "Total,12\n") == (every_row, [])
    rows, said = ids(LATER)
    assert rows == every_row
    assert "the last line is read as a row, because it looks like one: '11,Łódź'" in said[0]
    rows, said = ids(LATER + "Total,12\nEnd of report\n")
    assert (rows, len(said)) == (every_row, 1)
    assert ids(LATER, skip_footer_always=True) == (every_row[:-1], [])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_the_footer_of_a_long_file_in_utf_16_is_found(tmp_path: Path, encoding: str) -> None:
    content = "id,city\n" + "".join(f"{row},Köln\n" for row in range(9000)) + "Total,9000\n"
    path = written(tmp_path, content.encode(encoding))
    source = Source(uri="first.csv", encoding=encoding, skip_footer=1)
    assert read_source(path, source, ["id"])[0].num_rows == 9000
    assert len(read_parts(path, TableFormat(default=source))[0]) == 9000


def test_a_byte_order_mark_is_no_part_of_a_quoted_name(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufeff"id","city"\n1,x\n')
    assert header(path, Source(uri="later.csv")) == ["id", "city"]
    assert TableReader(path, TableFormat()).columns == ["id", "city"]


def swallowing(rows: int = 60) -> str:
    lines = [f"{row},note {row},{row % 3}" for row in range(rows)]
    lines[10] = '10,"20 in pipe,1'
    lines[40] = '40,"30 in" pipe,2'
    return "id,note,size\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", ["later.csv", "later.csv.gz"])
def test_rows_swallowed_by_a_quote_of_an_unread_column_are_an_error(tmp_path: Path, name: str) -> None:
    content = swallowing().encode()
    path = written(tmp_path, gzip.compress(content) if name.endswith("gz") else content, name)
    message = "line 12 closes in line 42 only"
    with pytest.raises(SklineError, match=message):
        list(TableReader(path, TableFormat()).parts(["id", "size"], []))
    with pytest.raises(SklineError, match=message):
        read_source(path, Source(uri="later.csv"), ["id", "size"])
    assert read_source(path, Source(uri="later.csv", quotes=False), ["id"])[0].num_rows == 60
    assert len(read_parts(path, TableFormat(default=Source(uri="first.csv", quotes=False)))[0]) == 60


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ('12,"Bonn', "quote that opens in line 14 never closes"),
        ('12,"Bonn\n', "quote that opens in line 14 never closes"),
        ('12,"Bonn,"Kiel old"\n', "a quote in line 14 closes before other text of its cell"),
    ],
)
def test_a_quote_that_is_no_pair_is_an_error(tmp_path: Path, last: str, message: str) -> None:
    path = written(tmp_path, LATER + last)
    with pytest.raises(SklineError, match=message):
        read_parts(path, TableFormat(skip_footer=0))
    with pytest.raises(SklineError, match=message):
        read_source(path, Source(uri="later.csv"), None)


def test_cells_of_several_lines_are_read(tmp_path: Path) -> None:
    content = "id,note,size\n" + "".join(f'{row},"first, line\nsecond\n\nlast, of all",{row}\n' for row in range(50))
    assert len(read_parts(written(tmp_path, content), TableFormat())[0]) == 50


def test_lines_with_another_number_of_cells_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, LATER.replace("7,", "7,7,"))
    with pytest.raises(SklineError, match="2 column names, but 1 of its lines .*line 9 has 3"):
        read_parts(path, TableFormat())


def test_rows_of_delimiters_only_are_not_scored(tmp_path: Path) -> None:
    rows, _ = read_parts(written(tmp_path, LATER + ",\n,\n"), TableFormat(skip_footer=0))
    assert len(rows) == 12


def test_blanks_around_names_and_cells_are_removed(tmp_path: Path) -> None:
    path = written(tmp_path, "id, city \n1, Köln\t\n2, NA \n")
    reader = TableReader(path, TableFormat())
    assert [row for part in reader.parts(["id", "city"], ["city"]) for row in part.to_pylist()] == [
        {"id": "1", "city": "Köln"},
        {"id": "2", "city": None},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html><body>Log in</body></html>", "is a web page"),
        (b'[{"id": 1, "city": "x"}]', "is JSON"),
        (b"later.csv" + bytes(248) + b"ustar\x0000" + bytes(248), "is a tar archive"),
        (b"", "is empty|has no column|lacks|none of"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(SklineError, match=message):
        read_source(path, Source(uri="later.csv"), ["id"])


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, content)
    for read in (lambda: TableReader(path, TableFormat()), lambda: read_source(path, Source(uri="f.csv"), ["id"])):
        with pytest.raises(SklineError, match=r"later\.csv is empty"):
            read()


def test_a_database_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (id)")
    connection.close()
    with pytest.raises(SklineError, match="is an SQLite database"):
        TableReader(path, TableFormat())


def test_a_repeated_line_of_names_is_no_row_of_either_reader(tmp_path: Path) -> None:
    path = written(tmp_path, LATER.replace("id,city\n", "id,city\n---,----\n") + LATER)
    rows, remarks = read_parts(path, TableFormat())
    said: list[str] = []
    table, _ = read_source(path, Source(uri="first.csv"), None, said.append)
    assert rows == table.to_pylist()
    assert len(rows) == 24
    assert remarks == said
    assert "line 15 repeats the column names and is skipped" in remarks
    reader = TableReader(path, TableFormat())
    assert [row for part in reader.parts(["id", "city"], ["id", "city"]) for row in part.to_pylist()] == rows


@pytest.mark.parametrize(
    ("skip", "text", "remark"),
    [
        (0, "id,city\n1,Ulm\n\n\n2,Bonn\nid,city\n3,Kiel\n", "line 6 repeats the column names and is skipped"),
        (0, 'id,city\n1,"Ulm\nDonau"\nid,city\n,\n3,Kiel\n', "line 4 repeats the column names and is skipped"),
        (
            2,
            "Cities\n\nid,city\n\n--,----\n3,Kiel\n",
            "line 5 is skipped: it is a line of dashes",
        ),
    ],
)
def test_lines_that_are_no_rows_are_named_by_their_number_in_the_file(
    tmp_path: Path, skip: int, text: str, remark: str
) -> None:
    said: list[str] = []
    read_source(written(tmp_path, text), Source(uri="first.csv", skip=skip), None, said.append)
    assert any(each.startswith(remark) for each in said)


def test_progress_counts_rows(tmp_path: Path) -> None:
    reader = TableReader(written(tmp_path, LATER), TableFormat())
    assert reader.total is None
    assert sum(part.num_rows for part in reader.parts(["id"], [])) == 12
    assert reader.total == 13, "lines, one of which has the names"
