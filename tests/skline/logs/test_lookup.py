"""Rows of the logs by the value of a column: in each kind of database, in sealed days of all schema versions."""

import datetime as dt
from contextlib import closing

import pytest

from skline.clock import now_us
from skline.errors import SklineError
from skline.logs import maintenance
from skline.logs.entity import EntityHasher
from skline.logs.lookup import find_by_id, find_labels, find_predictions, time_of_id
from skline.logs.partitions import file_of
from skline.logs.read import read_predictions
from skline.logs.records import PredictionEncoder, from_us
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.logs.stores.base import CHUNK_IDS
from tests.skline.logs.conftest import load_layout, prediction
from tests.skline.logs.test_schema import FIRST, seal_unversioned

ONE_DAY_US = 86_400_000_000


def write(settings: LogSettings, count: int, **fields: object) -> list[str]:
    """Write predictions; return their ids."""
    records = [prediction(**fields) for _ in range(count)]
    rows = PredictionEncoder(settings, EntityHasher(settings)).encode_many(records)
    with closing(open_store(settings)) as store:
        store.write("predictions", rows)
    return [record.prediction_id for record in records]


def test_rows_are_found_in_the_database_and_in_sealed_days_each_once(settings: LogSettings) -> None:
    digest = "1" * 64
    late = write(settings, 3, time=now_us() - 40 * ONE_DAY_US, artifact_digest=digest)  # ids of today
    maintenance.seal(settings)
    fresh = write(settings, CHUNK_IDS + 7, artifact_digest=digest)
    write(settings, 5)
    found = find_by_id(settings, [*late, *fresh, "unknown"])
    assert sorted(found["prediction_id"].to_pylist()) == sorted([*late, *fresh])
    tables = list(find_predictions(settings, "artifact_digest", [digest], ("prediction_id", "time")))
    assert [table.num_rows for table in tables] == [3, CHUNK_IDS + 7]
    assert tables[0].column_names == ["prediction_id", "time"]


def test_row_that_is_in_the_database_and_sealed_is_found_once(sqlite: LogSettings) -> None:
    time = now_us() - 2 * ONE_DAY_US
    record = prediction(time=time)
    row = PredictionEncoder(sqlite, EntityHasher(sqlite)).encode(record)
    with closing(open_store(sqlite)) as store:
        store.write("predictions", [row])
        maintenance.seal(sqlite)
        store.write("predictions", [row])  # as an interrupted seal leaves it
    assert find_by_id(sqlite, [record.prediction_id]).num_rows == 1
    assert file_of(sqlite.partitions, from_us(time).date()).exists()


def test_sealed_days_of_older_layouts_are_read(sqlite: LogSettings) -> None:
    seal_unversioned(sqlite, dt.date(2026, 1, 30), ["a", "b"])
    load_layout(sqlite, 1)
    found = find_by_id(sqlite, ["b", FIRST, "c"])
    assert sorted(found["prediction_id"].to_pylist()) == [FIRST, "b"]
    assert found["scoring_path"].to_pylist() == ["plan", "plan"]
    assert find_labels(sqlite, "prediction_id", [FIRST]).num_rows == 1


def test_time_of_an_id_is_that_of_its_prediction() -> None:
    moment = time_of_id(prediction().prediction_id)
    assert moment is not None
    assert abs(dt.datetime.now(dt.UTC) - moment) < dt.timedelta(minutes=5)
    assert time_of_id("unknown") is None
    assert time_of_id("f" * 32) is None


def test_id_of_the_last_day_of_all_is_not_found(sqlite: LogSettings) -> None:
    last = f"{253_402_257_600_000:012x}7{'0' * 19}"
    assert time_of_id(last) == dt.datetime(9999, 12, 31, 12, tzinfo=dt.UTC)
    assert find_by_id(sqlite, [last]).num_rows == 0


@pytest.mark.parametrize("content", [b"", b"PAR1 damaged PAR1"])
def test_damaged_sealed_day_is_named(sqlite: LogSettings, content: bytes) -> None:
    [prediction_id] = write(sqlite, 1, time=now_us() - 2 * ONE_DAY_US)
    maintenance.seal(sqlite)
    [path] = sqlite.partitions.glob("*.parquet")
    path.write_bytes(content)
    EntityHasher(sqlite)("entity")
    reads = (
        lambda: find_by_id(sqlite, [prediction_id]),
        lambda: read_predictions(sqlite),
        lambda: maintenance.forget(sqlite, "entity"),
    )
    for read in reads:
        with pytest.raises(SklineError, match=rf"{path.name} cannot be read as a sealed day .*restore it"):
            read()
