"""JSON lines are read as text, as a CSV is; what is not one object a line is named."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.batch.read import TableFormat, TableReader
from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources.dialect import detect_dialect
from skline.sources.json_lines import is_json_lines
from skline.sources.tables import header, read_source

ROWS = [
    {"id": 1, "city": "Köln, x", "paid": True, "size": {"w": 1.5, "h": None}},
    {"id": 2, "tags": ["a", 1], "city": 'say "hi"\n', "paid": False},
]
COLUMNS = ["id", "city", "paid", "size.w", "size.h", "tags"]


def write(folder: Path, rows: list[dict[str, object]] = ROWS, name: str = "t.jsonl") -> Path:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["t.jsonl", "t.json", "t.csv", "t.ndjson.gz"])
def test_objects_are_rows_and_nested_values_are_columns(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name=name)
    table, columns = read_source(path, Source(uri=str(path), delimiter=";", skip=3, trim=False), None)
    assert columns == header(path, Source(uri=str(path))) == COLUMNS
    assert table.to_pylist() == [
        {"id": "1", "city": "Köln, x", "paid": "true", "size.w": "1.5", "size.h": None, "tags": None},
        {"id": "2", "city": 'say "hi"\n', "paid": "false", "size.w": None, "size.h": None, "tags": '["a", 1]'},
    ]
    assert detect_dialect(path).source == {}


def test_scoring_reads_json_lines(tmp_path: Path) -> None:
    reader = TableReader(write(tmp_path), TableFormat())
    assert reader.columns == COLUMNS
    [part] = reader.parts(["id", "paid"], [])
    assert part.to_pydict() == {"id": ["1", "2"], "paid": ["true", "false"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"a": 2', r"t\.jsonl, line 2 is not valid JSON .*is the file complete"),
        (b'{"a": 1}\n[2]\n', r"t\.jsonl, line 2 is no JSON object"),
        (b'[{"a": 1}]', "is JSON, but not one object a line"),
        (b'{\n "a": 1\n}\n', "is JSON, but not one object a line"),
        (b'{"a": 1}\n{"a": ' + b"[" * 100_000 + b"\n", "line 2 is not valid JSON"),
    ],
)
def test_what_is_not_one_object_a_line_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(content)
    with pytest.raises(SklineError, match=message):
        read_source(path, Source(uri=str(path)), None)


def test_first_line_that_is_longer_than_what_is_looked_at_is_known_by_the_suffix() -> None:
    assert is_json_lines(b'{"a": "xxx', "t.ndjson")
    assert not is_json_lines(b'{"a": "xxx', "t.json")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({"a": st.integers(), "b": st.text(min_size=1), "c": st.floats(allow_nan=False)}),
        min_size=1,
        max_size=5,
    )
)
def test_values_are_kept(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    path = write(tmp_path_factory.mktemp("json"), rows)
    source = Source(uri=str(path), trim=False, missing=("",))
    table, _ = read_source(path, source, None)
    got = [(int(row["a"]), row["b"], float(row["c"])) for row in table.to_pylist()]
    assert got == [(row["a"], row["b"], row["c"]) for row in rows]
