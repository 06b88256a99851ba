"""Every way in reads a value alike: a text or a value gets the same reading, or is rejected for the same reason."""

import datetime as dt
import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skline.contract.spec import DEFAULT_MISSING, Column
from skline.init.inference.columns import infer_columns
from skline.settings.source import Source
from tests.behaviour import ways_in
from tests.behaviour.ways_in import REJECTED, LabelReader, Reading, Setup, same, setup

#: A column of each kind, in each notation, and with other texts for a missing value.
COLUMNS = {
    "integer": Column(name="x", kind="integer"),
    "integer, -999 missing": Column(name="x", kind="integer", nullable=True, missing=("-999", "?")),
    "integer in a notation": Column(name="x", kind="integer", notation="1.234", nullable=True),
    "number": Column(name="x", kind="number", nullable=True),
    "number in a notation": Column(name="x", kind="number", notation="1.234,5", nullable=True),
    "number with a currency": Column(name="x", kind="number", notation="$1,234.5", nullable=True),
    "duration": Column(name="x", kind="integer", notation="HH:MM:SS", nullable=True),
    "boolean": Column(name="x", kind="boolean", nullable=True),
    "boolean in words": Column(name="x", kind="boolean", notation="ja/nein"),
    "string": Column(name="x", kind="string"),
    "string that may be missing": Column(name="x", kind="string", nullable=True),
    "closed set with NA": Column(name="x", kind="string", nullable=True, choices=("NA", "DE", "x")),
    "date": Column(name="x", kind="date", nullable=True),
    "date in a notation": Column(name="x", kind="date", notation="%d.%m.%Y"),
    "date with a placeholder": Column(name="x", kind="date", nullable=True, missing=("1900-01-01", "-")),
    "datetime": Column(name="x", kind="datetime", nullable=True),
    "datetime in a notation": Column(name="x", kind="datetime", notation="%m/%d/%Y %H:%M", nullable=True),
}


def check_texts(given: Setup, texts: list[str], folder: Path) -> list[Reading]:
    """Assert that each text has the same reading everywhere; return the readings."""
    contract = given.contract
    path = folder / "table.csv"
    path.write_text(ways_in.csv_text(texts), encoding="utf-8")
    source = Source(uri=str(path), missing=contract.shared_missing(), trim=contract.trim)
    by_ingest = ways_in.ingested(given, path, source)
    by_score = ways_in.scored(given, path, source)
    everywhere = []
    for index, text in enumerate(texts):
        readings = ways_in.requests(given, text) | ways_in.csv_requests(given, text)
        readings |= {"ingest": by_ingest[index], "skline score": by_score[index]}
        everywhere.append(agreed(text, readings))
    return everywhere


def agreed(value: Any, readings: dict[str, Reading]) -> Reading:
    """Assert that all readings are that of the first way in; return it."""
    expected = next(iter(readings.values()))
    assert {way: got for way, got in readings.items() if not same(got, expected)} == {}, (value, expected)
    return expected


def check_values(given: Setup, values: list[Any], folder: Path) -> None:
    """Assert that each JSON value has the same reading everywhere, in Parquet too: one file for those of each type."""
    everywhere = [ways_in.requests(given, value) for value in values]
    by_type: dict[type, list[int]] = {}
    for position, value in enumerate(values):
        if not isinstance(value, int) or abs(value) < 2**63:
            by_type.setdefault(type(value), []).append(position)
    for positions in by_type.values():
        path = ways_in.parquet_of(pa.array([values[position] for position in positions]), folder)
        by_ingest = ways_in.ingested(given, path, Source(uri="t.parquet"))
        by_score = ways_in.scored(given, path)
        for position, ingested, scored in zip(positions, by_ingest, by_score, strict=True):
            everywhere[position] |= {"ingest of Parquet": ingested, "skline score of Parquet": scored}
    for value, readings in zip(values, everywhere, strict=True):
        agreed(value, readings)


def check_stored(given: Setup, cells: list[pa.Array], folder: Path) -> None:
    """Assert that stored cells have the same reading in ingest, `skline score`, and in pandas."""
    by_type: dict[pa.DataType, list[pa.Array]] = {}
    for cell in cells:
        by_type.setdefault(cell.type, []).append(cell)
    for same_type in by_type.values():
        path = ways_in.parquet_of(pa.chunked_array(same_type).combine_chunks(), folder)
        frame = pq.read_table(path).to_pandas()
        by_ingest = ways_in.ingested(given, path, Source(uri="t.parquet"))
        by_score = ways_in.scored(given, path)
        for index, cell in enumerate(same_type):
            row = frame.iloc[[index]]
            readings = {
                "ingest": by_ingest[index],
                "skline score": by_score[index],
                "skline.load": ways_in.loaded(given, row),
                "skline.load of rows": ways_in.loaded(given, row.to_dict("records")),
            }
            agreed(cell, readings)


def check_labels(name: str, value: Any, folder: Path) -> None:
    """Assert that a value is the same label by request and by file, and the same as a required input."""
    column = COLUMNS[name]
    if column.kind in ("date", "datetime"):
        return  # no target
    given = setup(column.model_copy(update={"nullable": False}))
    reader, expected = LabelReader(given), ways_in.predicted(given, value)
    readings = {"request": reader.by_request(value), "JSON file": reader.by_json_file(value, folder)}
    if isinstance(value, str):
        readings["CSV"] = reader.by_text(value, folder)
    elif not isinstance(value, int) or abs(value) < 2**63:
        path = ways_in.parquet_of(pa.array([value]), folder, "label", "prediction_id")
        readings["Parquet"] = reader.by_file(path)
    for way, got in readings.items():
        if expected[0] == REJECTED:
            assert got[0] == REJECTED, (way, value, got)
        else:
            assert same(got, expected), (way, value, got, expected)


def check_inferred(texts: list[str], folder: Path) -> None:
    """Assert that `init` declares a column as which every way in reads the cells as `init` itself has read them."""
    cells = pa.array([text or None for text in texts], pa.string())
    inferred = infer_columns(pa.table({"x": cells}), lambda rows: {row: f"line {row + 2}" for row in rows})
    [guess] = inferred.guesses
    missing = None if guess.missing is None else tuple(guess.missing)
    column = Column(name="x", kind=guess.kind, notation=guess.notation, missing=missing, nullable=True)
    readings = check_texts(setup(column, trim=True), texts, folder)  # the default of `source.trim`
    values = [None if ways_in.is_missing(value) else ways_in.plain(column, value) for value in guess.values]
    by_init: list[Reading] = [("read", value) for value in values]
    different = {text: pair for text, *pair in zip(texts, readings, by_init, strict=True) if not same(*pair)}
    assert different == {}, (column, texts)


SIGN = st.sampled_from(["", "-", "+"])
DIGITS = st.sampled_from(["0", "5", "007", "1400", "999", "9007199254740992", "9007199254740993", "1" * 25])
INTEGERS = st.integers(-(2**54), 2**54).map(str) | st.tuples(SIGN, DIGITS).map("".join)
FRACTIONS = st.sampled_from(["", ".", ".0", ".00", ".5", ",5", ".234", ",234", ".234,5", ",234.5", ".234.567"])
ENDS = st.sampled_from(["", "e2", "E-2", "e400", "e-400", "%", " €"])
NUMBERS = st.one_of(
    INTEGERS,
    st.floats(allow_nan=False).map(repr),
    st.tuples(SIGN, DIGITS, FRACTIONS, ENDS).map("".join),
    st.sampled_from(["00:01:40", "1:02:03.0", "00:00:01.5"]),
    st.sampled_from(["0x10", "1_000", "0.455", "0,455", "$1,234.5", "-$5", "$-5", "$ 5", "inf", "-nan", "1e", ".", "-",
                     "1 234", "٣", "12E4", "6.9e1", "1.234", "1,234", "12.50", "\u22125",
                     "\u22121.234,5", "$\u22125", "5-", "(5)", "($33)", "\u22120:30", "1e\u22122"]),
)  # fmt: skip
WORDS = st.sampled_from(
    ["true", "False", "YES", "no", "y", "N", "t", "F", "1", "0", "1.0", "0.0", "ja", "Nein", "ja/nein", "2", "wahr"]
)
ZONES = st.sampled_from(
    ["", "Z", "z", " UTC", "+00", "+02", "-0700", " -0700", "+05:30", "+00:00", "+24:00", "+9", "UTC"]
)
TIMES = st.one_of(
    st.times().map(dt.time.isoformat),
    st.sampled_from(["00:00", "00:00:00", "00:00:00.000", "00:00:00.0000000", "23:59:59.999999999", "05", "24:00:00",
                     "04:41:37.1234567", "04:41:37,5", "23:59:60", "4:41", "00:00:00.0000001"]),
)  # fmt: skip
DATES = st.one_of(
    st.dates().map(dt.date.isoformat),
    st.sampled_from(["2024-02-30", "0000-00-00", "20240131", "2024-1-31", "31.01.2024", "1.2.2024", "01/31/2024",
                     "01/31/2024 00:00", "01/31/2024 14:05", "2024/01/31", "2016/03/15 00:00:00+00",
                     "2024-01-31T", "1700000000"]),
    st.tuples(st.dates().map(dt.date.isoformat), st.sampled_from(["T", " ", "t", "  "]), TIMES, ZONES).map("".join),
    st.tuples(
        st.sampled_from(["0001-01-01", "9999-12-31"]), st.just("T"), st.sampled_from(["00:00:00", "23:59:59"]), ZONES
    ).map("".join),
)  # fmt: skip
MISSING = st.sampled_from([*DEFAULT_MISSING, "?", "-999", "Na", "#N/A"])
JUNK = st.text("aBNx1,.-\u00a0é \t", max_size=4) | st.sampled_from(["DE", "x", "\x1fNA", "\u2028NA"])
PADDED = st.tuples(
    st.sampled_from(["", "", "", " ", "\t", "\u00a0"]),
    st.one_of(NUMBERS, WORDS, DATES, MISSING, JUNK),
    st.sampled_from(["", "", "", " ", "\t"]),
).map("".join)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**54), 2**54) | st.sampled_from([0, 1, 2**53, 2**53 + 1, 2**62, 2**70]),
    st.floats(allow_nan=False) | st.sampled_from([0.0, 1.0, 1400.0, 1400.5, 2.0**53, 2.0**53 - 1, float("nan")]),
)  # fmt: skip
NAMES = st.sampled_from(sorted(COLUMNS))
MOMENTS = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)) | st.dates(
    dt.date(1700, 1, 1), dt.date(2200, 1, 1)
).map(lambda day: dt.datetime.combine(day, dt.time()))
STORED_FORMS = (
    st.tuples(MOMENTS, st.sampled_from(["s", "ms", "us", "ns"]), st.sampled_from([None, "UTC", "Europe/Berlin"])).map(
        lambda parts: pa.array([parts[0]], pa.timestamp("us")).cast(pa.timestamp(parts[1], parts[2]), safe=False)
    ),
    st.sampled_from([0, 1, 86_400 * 10**9]).map(lambda ticks: pa.array([ticks], pa.timestamp("ns"))),
    st.dates().map(lambda day: pa.array([day], pa.date32())),
    st.tuples(st.integers(-(2**54), 2**54), st.integers(0, 3)).map(
        lambda parts: pa.array([decimal.Decimal(parts[0]).scaleb(-parts[1])], pa.decimal128(20, 3))
    ),
    st.sampled_from([pa.int8(), pa.uint8(), pa.int32(), pa.float32(), pa.float64(), pa.bool_()]).map(
        lambda kind: pa.array([1], pa.int64()).cast(kind)
    ),
    st.floats(width=32).map(lambda number: pa.array([number], pa.float32())),
    st.sampled_from([2**53, 2**53 + 1, 2**63, 2**64 - 1]).map(lambda number: pa.array([number], pa.uint64())),
    PADDED.map(lambda text: pa.array([text], pa.large_string())),
    PADDED.map(lambda text: pa.array([text]).dictionary_encode()),
)
STORED = st.one_of(STORED_FORMS)
#: Cells of one kind, in one form.
FORMS: dict[str, st.SearchStrategy[str]] = {
    "whole numbers": st.integers(-9999, 9999).map(str),
    "decimals": st.decimals(-9999, 9999, places=2).map(str),
    "thousands": st.integers(-(10**6), 10**6).map("{:,}".format),
    "currency": st.integers(0, 10**6).map("${:,}.50".format),
    "percent": st.integers(0, 100).map("{} %".format),
    "exponents": st.floats(1e-9, 1e9).map("{:.3e}".format),
    "durations": st.times().map(lambda time: time.strftime("%H:%M:%S")),
    "words": st.sampled_from(["yes", "No", "YES"]),
    "zero and one": st.sampled_from(["0", "1.0", "0.0", "1"]),
    "ja and nein": st.sampled_from(["ja", "Nein"]),
    "days": st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)).map(dt.date.isoformat),
    "German days": st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)).map(lambda day: day.strftime("%d.%m.%Y")),
    "datetimes": st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)).map(str),
    "categories": st.sampled_from(["red", "blue", "NA", "None", "green"]),
    "anything": PADDED,
}
TABLES = st.sampled_from(sorted(FORMS)).flatmap(
    lambda form: st.tuples(st.lists(FORMS[form], min_size=25, max_size=30), st.lists(PADDED, max_size=2)).map(
        lambda parts: [*parts[0], *parts[1]]
    )
)
FAST = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(FAST, max_examples=8)
DRILL = settings(FAST, max_examples=10_000)
#: As many, in tens: a file of ten is read in little more time than a file of one.
TENS = settings(FAST, max_examples=1_000)


@FAST
@given(NAMES, st.booleans(), st.lists(PADDED, min_size=1, max_size=8))
@example("number", False, ["1400.0", "6.9e1", "0x10", "inf", " NA", "1e400"])
@example("integer", False, ["1400.0", "1400.5", "9007199254740993", "9007199254740992.0", "-0", " 69"])
@example("date", False, ["2013-07-04T00:00:00.000Z", "1972-01-25T00:00:00+02:00", "1955-10-30 00:00:00"])
@example("date with a placeholder", False, ["1900-01-01", "1900-01-01T00:00:00Z", "1900-01-02"])
@example("datetime", False, ["2024-05-31T04:41:37.1234567Z", "2020-12-31 21:25:58+02", "2024-05-31 04:41:37 UTC"])
@example("string that may be missing", False, ["NA", "Na", "", " NA"])
@example("string", True, ["NA", " a ", " "])
@example("closed set with NA", False, ["NA", "N/A", "DE"])
@example("number in a notation", False, ["1.234", "0.455", "1.234,5", "12,5"])
def test_a_text_is_read_alike_everywhere(tmp_path_factory: Any, name: str, trim: bool, texts: list[str]) -> None:
    check_texts(setup(COLUMNS[name], trim=trim), texts, folder_of(tmp_path_factory))


@FAST
@given(NAMES, st.lists(VALUES, min_size=1, max_size=3))
@example("integer", [1400.0, 2.0**53, 2**53, True])
@example("boolean", [1.0, 0, 2])
def test_a_json_value_is_read_alike_everywhere(tmp_path_factory: Any, name: str, values: list[Any]) -> None:
    check_values(setup(COLUMNS[name]), values, folder_of(tmp_path_factory))


@FAST
@given(NAMES, st.lists(PADDED | VALUES, min_size=1, max_size=3))
@example("boolean", ["1.0", "yes", "NA", 1.0, 0])
@example("closed set with NA", ["NA", "N/A", "DE"])
def test_a_value_is_the_same_label_everywhere(tmp_path_factory: Any, name: str, values: list[Any]) -> None:
    for value in values:
        check_labels(name, value, folder_of(tmp_path_factory))


@FAST
@given(NAMES, STORED)
def test_a_stored_value_is_read_alike_from_a_file_and_from_pandas(
    tmp_path_factory: Any, name: str, cell: pa.Array
) -> None:
    check_stored(setup(COLUMNS[name]), [cell], folder_of(tmp_path_factory))


@FEW
@given(TABLES)
@example([*map(str, range(25)), "\x1fNA"])
@example([*(f"2024-01-{day:02}" for day in range(1, 26)), "\u2028NA", "2016/03/15"])
def test_every_way_in_reads_a_column_as_init_has_read_it(tmp_path_factory: Any, texts: list[str]) -> None:
    check_inferred(texts, folder_of(tmp_path_factory))


@pytest.mark.slow
@TENS
@given(NAMES, st.booleans(), st.lists(PADDED, min_size=10, max_size=10))
def test_drill_ten_thousand_texts_are_read_alike_everywhere(
    tmp_path_factory: Any, name: str, trim: bool, texts: list[str]
) -> None:
    check_texts(setup(COLUMNS[name], trim=trim), texts, folder_of(tmp_path_factory))


@pytest.mark.slow
@DRILL
@given(NAMES, PADDED | VALUES)
def test_drill_ten_thousand_labels_are_read_alike_everywhere(tmp_path_factory: Any, name: str, value: Any) -> None:
    check_labels(name, value, folder_of(tmp_path_factory))


@pytest.mark.slow
@TENS
@given(NAMES, st.lists(VALUES, min_size=10, max_size=10))
def test_drill_ten_thousand_values_are_read_alike_everywhere(
    tmp_path_factory: Any, name: str, values: list[Any]
) -> None:
    check_values(setup(COLUMNS[name]), values, folder_of(tmp_path_factory))


@pytest.mark.slow
@TENS
@given(NAMES, st.one_of([st.lists(form, min_size=10, max_size=10) for form in STORED_FORMS]))
def test_drill_ten_thousand_stored_values_are_read_alike(
    tmp_path_factory: Any, name: str, cells: list[pa.Array]
) -> None:
    check_stored(setup(COLUMNS[name]), cells, folder_of(tmp_path_factory))


@pytest.mark.slow
@settings(DRILL, max_examples=1_000)
@given(TABLES)
def test_drill_a_thousand_columns_are_read_as_init_has_read_them(tmp_path_factory: Any, texts: list[str]) -> None:
    check_inferred(texts, folder_of(tmp_path_factory))


def folder_of(factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all examples share."""
    folder: Path = factory.getbasetemp()
    return folder
