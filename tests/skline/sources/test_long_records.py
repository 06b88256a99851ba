"""Tests of finding rows inside of quoted cells in the bytes of a file, without parsing all of it."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from pyarrow import csv

from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources import arrow_csv, long_records, quotes
from skline.sources.arrow_csv import Text, arrow_arguments, check_hidden_rows
from skline.sources.layout import read_layout
from skline.sources.scan import scan

SOURCE = Source(uri="t.csv")
CELLS = [
    "1",
    "",
    "x y",
    '"a,b"',
    '"a\nb"',
    '"a\r\nb, c"',
    '"say ""no"", or\nelse"',
    'quote " inside',
    '"open',
    'shut"',
    "é",
]


@pytest.fixture(params=[1 << 16, 7])
def chunk_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_records, "CHUNK_BYTES", request.param)


def random_table(seed: int) -> bytes:
    draw = np.random.default_rng(seed)
    width = draw.integers(2, 5)
    usual = CELLS[:7] if seed % 2 else CELLS
    rows = [list("abcd"[:width]), *draw.choice(usual, (draw.integers(1, 40), width))]
    end = ["\n", "\r\n"][seed % 3 == 0]
    return (end.join(map(",".join, rows)) + end * (seed % 5 > 0)).encode()


def outcome(check: Callable[..., None], *arguments: object, **options: object) -> str:
    """Return the message of the error that a check raises; empty without one."""
    try:
        check(*arguments, **options)
    except SklineError as error:
        return str(error)
    return ""


@pytest.mark.usefixtures("chunk_bytes")
def test_records_of_several_lines_are_judged_as_by_reading_the_whole_file() -> None:
    seen = set()
    for seed in range(400):
        data = io.BytesIO(random_table(seed))
        text = Text(data, SOURCE, read_layout(data, SOURCE, "t.csv"))
        data.seek(0)
        width = len(text.layout.names)
        found = scan(data, SOURCE, width)
        data.seek(0)
        try:
            rows = csv.read_csv(**arrow_arguments(text, found, {})).num_rows
        except ValueError:  # rows of different lengths are another error
            continue
        fast = outcome(check_hidden_rows, text, found, rows, "t.csv")
        assert fast == outcome(quotes.check_quotes, data, SOURCE, 0, width, "t.csv", broken=found.broken_quotes)
        seen.add(bool(fast))
    assert seen == {True, False}


@pytest.mark.usefixtures("chunk_bytes")
def test_only_records_with_the_delimiters_of_two_rows_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f'{row},"first\nsecond",{row}' for row in range(30)]
    rows[20] = '20,"swallows,1\n21,x,2\n22,y",3'
    data = io.BytesIO(("a,b,c\n" + "\n".join(rows)).encode())
    found = long_records.long_records(data, SOURCE, 0, 3, 31)
    assert found == [(42, b'20,"swallows,1\n21,x,2\n22,y",3\n')]
    monkeypatch.setattr(arrow_csv.quotes, "check_quotes", None)
    layout = read_layout(data, SOURCE, "t.csv")
    data.seek(0)
    with pytest.raises(SklineError, match="line 42 closes in line 44 only"):
        check_hidden_rows(Text(data, SOURCE, layout), scan(data, SOURCE, 3), 30, "t.csv")


@pytest.mark.parametrize("content", ['a,b\n1,5" tall\n2,"x\ny"\n', 'a,b\r1,"x\ry"\r', 'a,b\n1,"never closed\n'])
def test_bytes_that_do_not_say_which_lines_belong_together_are_left_to_the_reader(content: str) -> None:
    assert long_records.long_records(io.BytesIO(content.encode()), SOURCE, 0, 2, 3) is None
