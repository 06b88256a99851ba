"""Tests of what the bytes of a text say before it is parsed."""

import io

import pytest

from skline.settings.source import Source
from skline.sources import scan as module
from skline.sources.scan import Scan, scan

ROWS = "id,city,size\n1,Bonn,2\n2,,3\n"


def scanned(content: str | bytes, width: int = 3, **settings: object) -> Scan:
    data = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return scan(data, Source.model_validate({"uri": "t.csv"} | settings), width)


@pytest.fixture(params=[1 << 16, 11, 5, 1])
def chunk_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", request.param)


pytestmark = pytest.mark.usefixtures("chunk_bytes")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("whole", [True, False])
def test_lines_are_counted(end: str, whole: bool) -> None:
    content = (ROWS if whole else ROWS[:-1]).replace("\n", end)
    assert scanned(content) == Scan(
        quoted=False, lines=3, delimiter_lines=False, blanks=False, broken_quotes=False, tail=content
    )


def test_a_quote_counts_only_if_quotes_enclose_cells() -> None:
    assert scanned(ROWS + '3,"Bonn",4\n').quoted
    assert not scanned(ROWS + '3,"Bonn",4\n', quotes=False).quoted


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "content", [ROWS + ",,\n", ROWS + ",,", "id,city,size\n,,\n1,Bonn,2\n", ROWS + "\n,,\n1,a,2\n"]
)
def test_lines_of_delimiters_are_found(content: str, end: str) -> None:
    assert scanned(content.replace("\n", end)).delimiter_lines


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_with_empty_cells_are_no_lines_of_delimiters(end: str) -> None:
    assert not scanned("id,city,size\n1,,\n22,,\n,a,\n".replace("\n", end)).delimiter_lines
    assert not scanned("id,city\n1,\n2,\n12,a\n".replace("\n", end), width=2).delimiter_lines
    assert scanned("id,city\n1,\n,\n12,a\n".replace("\n", end), width=2).delimiter_lines
    assert not scanned("id\n1\n\n2\n", width=1).delimiter_lines


@pytest.mark.parametrize("cell", [" a", "a ", "\ta", '" a"', "a\u00a0"])
def test_blanks_at_the_ends_of_cells_are_found(cell: str) -> None:
    assert scanned(ROWS + f"3,{cell},4\n").blanks
    assert scanned(ROWS + f"3,4,{cell}\n").blanks
    assert scanned(ROWS + f"{cell},3,4\n").blanks


def test_blanks_inside_cells_are_none_around_them() -> None:
    assert not scanned(ROWS + "3,New York,4\n").blanks
    assert not scanned(ROWS.replace(",", " "), delimiter=" ").blanks


def test_the_tail_begins_with_a_whole_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TAIL_BYTES", 14)
    assert scanned(ROWS).tail == "2,,3\n"
    monkeypatch.setattr(module, "TAIL_BYTES", 28)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        assert scanned(ROWS.encode(encoding), encoding=encoding).tail == "2,,3\n"
    assert scanned(b"\xfe\xff" + ROWS.encode("utf-16-be"), encoding="utf-16").tail == "2,,3\n"
