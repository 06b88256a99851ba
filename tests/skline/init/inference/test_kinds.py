"""Tests of the inferred kind, notation and missing texts of a column."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skline.contract.column_parsing import parse_column
from skline.contract.notation import check_notation, parse_number_notation, plain_numbers
from skline.errors import SklineError
from skline.init.inference.kinds import FIRST_ROWS, infer_column, infer_text
from skline.init.inference.missing_words import NO_EVIDENCE
from skline.init.inference.profile import Profile


def kind_and_notation(cells: list[str | None], name: str = "x") -> tuple[str, str | None]:
    parsed = infer_column(name, pa.array(cells, pa.string()))
    assert parsed is not None
    return parsed.kind, parsed.notation


@pytest.mark.parametrize(
    ("cells", "kind", "notation"),
    [
        (["1", "2", "3"], "integer", None),
        (["1.0", "2.0"], "integer", None),
        (["1.5", "2", "3e4"], "number", None),
        (["1,234", "12"], "integer", "1,234"),
        (["1,234.5", "12"], "number", "1,234.5"),
        (["1.234,5", "12"], "number", "1.234,5"),
        (["1 234", "12"], "integer", "1 234.5"),
        (["0,5", "12,25"], "number", "1234,5"),
        (["$5.20", "-$1,000.00"], "number", "$1,234.5"),
        (["5 €", "1.000 €"], "integer", "1.234,5 €"),
        (["12%", "3.5%"], "number", "1234.5%"),
        (["yes", "no"], "boolean", None),
        (["Y", "n", "y"], "boolean", None),
        (["0", "1", "1"], "boolean", None),
        (["ja", "nein"], "boolean", "ja/nein"),
        (["01234", "99999"], "string", None),
        (["12345678901234567890", "1"], "string", None),
        (["5", "?", "7"], "integer", None),
        (["5", "unknown", "7"], "integer", None),
        (["red", "unknown", "blue"], "string", None),
        (["2024-01-31", "2024-02-01"], "date", None),
        (["2024-01-31 10:00", "2024-02-01T11:30:00Z"], "datetime", None),
        (["31.01.2024", "01.02.2024"], "date", "%d.%m.%Y"),
        (["12/31/2024", "1/2/2024"], "date", "%m/%d/%Y"),
        (["31/12/2024", "1/2/2024"], "date", "%d/%m/%Y"),
        (["31 Jan 2024", "1 Feb 2024"], "date", "%d %b %Y"),
        (["1/31/2024 4:05 PM", "2/1/2024 11:00 AM"], "datetime", "%m/%d/%Y %I:%M %p"),
        (["1.2.3", "4.5.6"], "string", None),
        (["12abc", "3"], "string", None),
    ],
)
def test_infers_kind_and_notation(cells: list[str], kind: str, notation: str | None) -> None:
    assert kind_and_notation(cells) == (kind, notation)
    filled = [cell for cell in cells if kind == "string" or cell not in ("?", "unknown")]
    values, bad = parse_column(pa.array(filled), kind, notation)  # type: ignore[arg-type]
    assert not bad.any()
    assert values.notna().all()


def test_ambiguous_day_and_month_raise_a_doubt() -> None:
    parsed = infer_column("d", pa.array(["01/02/2024", "03/04/2024", "05/06/2024"]))
    assert parsed is not None
    assert parsed.kind == "date"
    assert "could be swapped" in parsed.doubts[0]


def test_order_of_rows_resolves_day_and_month() -> None:
    days = [dt.date(2024, month, day).strftime("%d/%m/%Y") for month in (1, 2, 3) for day in range(1, 12)]
    parsed = infer_column("d", pa.array(days))
    assert parsed is not None
    assert parsed.notation == "%d/%m/%Y"


@given(
    st.lists(st.decimals(-(10**9), 10**9, places=2), min_size=1, max_size=20),
    st.sampled_from(["1,234.5", "1.234,5", "1 234,5", "1'234.5", "$1,234.5", "1.234,5 €", "1234,5", "1234.5%"]),
)
def test_numbers_survive_formatting_and_parsing_in_a_notation(numbers: list[object], sample: str) -> None:
    notation = parse_number_notation(sample)
    texts = []
    for number in numbers:
        text = f"{number:,.2f}".replace(",", "\0").replace(".", notation.decimal).replace("\0", notation.thousands)
        texts.append(
            f"{notation.before}{text}{' ' if notation.after and notation.after != '%' else ''}{notation.after}"
        )
    plain = plain_numbers(pa.array(texts), sample).to_pylist()
    assert [float(text) for text in plain] == [float(str(number)) for number in numbers]


@given(st.text(max_size=12))
def test_text_is_never_parsed_as_a_different_number(text: str) -> None:
    [plain] = plain_numbers(pa.array([text]), "$1,234.5").to_pylist()
    digits = "".join(char for char in text if char in "0123456789")
    assert plain is None or plain.replace("-", "").replace(".", "") == digits


@pytest.mark.parametrize(
    ("kind", "notation"), [("number", "abc"), ("boolean", "ja"), ("date", "tomorrow"), ("string", "%d")]
)
def test_rejects_invalid_notation(kind: str, notation: str) -> None:
    with pytest.raises(SklineError, match="notation="):
        check_notation(notation, kind)  # type: ignore[arg-type]


@given(
    digits=st.integers(0, 4),
    step=st.sampled_from([0.001, 0.05, 1.0, 1000.0]),
    n_rows=st.sampled_from([30, 100, FIRST_ROWS + 50]),
    odd=st.lists(
        st.sampled_from(
            [
                "",
                " 1.5",
                "NA",
                "inf",
                "nan",
                "1e5",
                "1.5e-3",
                "1e400",
                "1.234.567",
                "1,5",
                "\u22121.5",
                "0x10",
                "5",
                "007",
            ]
        ),
        max_size=3,
    ),
    first=st.booleans(),
)
@example(digits=3, step=0.001, n_rows=FIRST_ROWS + 50, odd=["1.234.567"], first=False)
@example(digits=2, step=0.05, n_rows=FIRST_ROWS + 50, odd=["NA", "1e400"], first=False)
@example(digits=2, step=0.05, n_rows=FIRST_ROWS + 50, odd=[], first=False)
@settings(deadline=None, max_examples=60)
def test_plain_decimals_are_read_as_by_the_counts_of_their_texts(
    digits: int, step: float, n_rows: int, odd: list[str], first: bool
) -> None:
    numbers: list[str | None] = [f"{row * step - 7:.{digits}f}" for row in range(n_rows)]
    texts = [*odd, None, *numbers] if first else [*numbers, None, *odd]
    cells = pa.array(texts, pa.string())
    read, counted = infer_column("x", cells), infer_text(Profile.of("x", cells), NO_EVIDENCE)
    assert read is not None
    pd.testing.assert_series_equal(read.values, counted.values)
    # The fields alone: from Python 3.13 on, dataclasses compare each field, and a Series has no truth value.
    unset: Any = None
    assert replace(read, values=unset) == replace(counted, values=unset)


def test_keeps_the_types_of_parquet_columns() -> None:
    stamps = pd.to_datetime(["2024-01-01", "2024-02-01"])
    table = pa.Table.from_pandas(pd.DataFrame({"a": [1, 2], "b": [True, False], "c": stamps}))
    kinds = [infer_column(name, table.column(name).combine_chunks()) for name in table.column_names]
    assert [parsed and parsed.kind for parsed in kinds] == ["integer", "boolean", "date"]
