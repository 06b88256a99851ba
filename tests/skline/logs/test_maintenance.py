"""Tests of sealing, purging and forgetting: each prediction is read once, wherever it is stored, until deleted."""

import datetime as dt
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from skline.errors import SklineError
from skline.logs import maintenance, partitions
from skline.logs.entity import EntityHasher
from skline.logs.labels import Label, LabelLog
from skline.logs.read import read_labelled, read_labels, read_predictions
from skline.logs.records import Prediction, PredictionEncoder, StoredRow, to_us
from skline.logs.settings import LogSettings
from skline.logs.stores import base, open_store, postgres
from skline.logs.stores import sqlite as sqlite_store
from skline.logs.stores.sqlite import check_version
from tests.fixtures.demo import ROOT
from tests.fixtures.postgres import Server
from tests.skline.logs.conftest import CONTRACT, prediction

TODAY = maintenance.today()
ONE_DAY = dt.timedelta(days=1)


def at(days_ago: int, number: int = 0, **fields: object) -> Prediction:
    """Build a prediction of a day, `number` seconds after midnight."""
    day = TODAY - days_ago * ONE_DAY
    return prediction(prediction_id=f"{day}-{number}", time=to_us(day) + number * 1_000_000, **fields)


def write(settings: LogSettings, *records: Prediction) -> None:
    encoder = PredictionEncoder(settings, EntityHasher(settings))
    with closing(open_store(settings)) as store:
        store.write("predictions", [encoder.encode(record) for record in records])


def ids(settings: LogSettings, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[str]:
    names: list[str] = read_predictions(settings, since, until)["prediction_id"].to_pylist()
    return names


def test_sealed_days_and_the_database_are_read_as_one(settings: LogSettings) -> None:
    records = [at(age, number) for age in (3, 2, 1, 0) for number in (0, 1, 86_399 if age else 2)]
    write(settings, *records)
    everything = read_predictions(settings)
    assert list(maintenance.seal(settings, TODAY - ONE_DAY).values()) == [3, 3]
    assert read_predictions(settings).equals(everything)
    assert everything["prediction_id"].to_pylist() == [record.prediction_id for record in records]
    status = maintenance.status(settings)
    assert (status.predictions.rows, list(status.sealed)) == (6, [TODAY - 3 * ONE_DAY, TODAY - 2 * ONE_DAY])
    for first in range(0, len(records), 2):
        for last in range(first, len(records), 2):
            since, until = everything["time"][first].as_py(), everything["time"][last].as_py()
            expected = [record.prediction_id for record in records[first:last]]
            assert ids(settings, since, until.replace(tzinfo=None)) == expected
    assert maintenance.seal(settings) == {TODAY - ONE_DAY: 3}
    assert maintenance.seal(settings) == {}


def test_rows_that_arrive_late_are_added_to_their_sealed_day_once(settings: LogSettings) -> None:
    write(settings, at(1, 0), at(1, 1))
    maintenance.seal(settings)
    write(settings, at(1, 1), at(1, 2))
    assert ids(settings) == [at(1, number).prediction_id for number in (0, 1, 2)]
    assert maintenance.seal(settings) == {TODAY - ONE_DAY: 2}
    assert ids(settings) == [at(1, number).prediction_id for number in (0, 1, 2)]


def test_rows_written_while_a_day_is_sealed_stay_in_the_database(settings: LogSettings) -> None:
    write(settings, at(1, 0))
    with closing(open_store(settings)) as store:

        def save(chunks: Iterator[list[StoredRow]]) -> None:
            archived = [row[0] for rows in chunks for row in rows]
            assert archived == [at(1, 0).prediction_id]
            write(settings, at(1, 1))

        day = TODAY - ONE_DAY
        assert store.archive(to_us(day), to_us(TODAY), save) == 1
    assert ids(settings) == [at(1, 1).prediction_id]


def test_reader_sees_every_row_once_while_days_are_sealed(
    settings: LogSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (base, sqlite_store, postgres):
        monkeypatch.setattr(module, "CHUNK_ROWS", 25)
    records = [at(age, number) for age in (5, 4, 3, 2, 1) for number in range(60)]
    write(settings, *records)
    sealing = threading.Thread(target=maintenance.seal, args=(settings,))
    sealing.start()
    reads = 0
    while sealing.is_alive() or not reads:
        assert ids(settings) == [record.prediction_id for record in records]
        reads += 1
    sealing.join()
    assert maintenance.status(settings).predictions.rows == 0


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["seal", "forget"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_no_row_is_lost_or_doubled_by_a_kill_at_any_step(
    operation: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: list[Server] = [request.getfixturevalue("server")] if kind == "postgres" else []
    drill = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.skline.logs.kill_drill",
            operation,
            str(tmp_path),
            *(each.url for each in server),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert drill.returncode == 0, drill.stderr
    assert int(drill.stdout) >= 15


def test_purge_keeps_the_last_complete_days(settings: LogSettings) -> None:
    write(settings, *(at(age) for age in range(6)))
    maintenance.seal(settings, TODAY - 2 * ONE_DAY)
    labels = LabelLog(settings, CONTRACT)
    labels.append([Label(prediction_id="a", label=True)])
    labels.close()
    assert maintenance.purge(settings, 3) == maintenance.DeletedRows(predictions=0, sealed=2, labels=0)
    assert maintenance.purge(settings, 1) == maintenance.DeletedRows(predictions=1, sealed=1, labels=0)
    assert ids(settings) == [at(age).prediction_id for age in (1, 0)]
    assert read_labels(settings).num_rows == 1


def test_forget_deletes_all_rows_of_the_entity_and_of_no_other(settings: LogSettings) -> None:
    write(settings, at(2, 0, entity="x"), at(2, 1, entity="y"), at(2, 2), at(1, 0, entity="x"), at(0, 0, entity="x"))
    write(settings, at(0, 1, entity="y"))
    maintenance.seal(settings)
    labels = LabelLog(settings, CONTRACT)
    labels.append([Label(prediction_id=at(*key).prediction_id, label=True) for key in ((2, 0), (2, 1), (0, 0), (0, 1))])
    labels.append([Label(entity=entity, event_time=dt.datetime(2026, 1, 1), label=True) for entity in "xy"])
    labels.close()
    assert maintenance.forget(settings, "x") == maintenance.DeletedRows(predictions=1, sealed=2, labels=3)
    kept = [at(2, 1), at(2, 2), at(0, 1)]
    assert ids(settings) == [record.prediction_id for record in kept]
    assert read_labelled(settings)["label"].to_pylist() == ["true", None, "true"]
    assert read_labels(settings).num_rows == 3
    hashed = EntityHasher(settings)("x").encode()
    if not settings.is_postgres:
        content = b"".join(path.read_bytes() for path in Path(settings.database).parent.glob("predictions.db*"))
        assert hashed not in content
    assert maintenance.forget(settings, "x") == maintenance.DeletedRows(0, 0, 0)


def test_forget_without_the_key_fails_and_makes_none(sqlite: LogSettings) -> None:
    """With a new key nothing would be found, and "0 deleted" be reported."""
    write(sqlite, at(0, 0, entity="x"))
    sqlite.key_file.unlink()
    with pytest.raises(SklineError, match="nothing was deleted: there is no entity key"):
        maintenance.forget(sqlite, "x")
    assert not sqlite.key_file.exists()


def test_sealed_days_stay_as_private_as_they_were_made(sqlite: LogSettings) -> None:
    write(sqlite, at(1, 0, entity="x"), at(1, 1, entity="y"))
    maintenance.seal(sqlite)
    [file] = partitions.sealed_days(sqlite.partitions).values()
    file.chmod(0o600)
    write(sqlite, at(1, 2, entity="x"))
    maintenance.seal(sqlite)
    assert file.stat().st_mode & 0o777 == 0o600
    maintenance.forget(sqlite, "x")
    assert file.stat().st_mode & 0o777 == 0o600


def test_forget_fails_while_a_reader_keeps_copies_of_the_rows(
    sqlite: LogSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(sqlite, *(at(0, number, entity="x") for number in range(50)))
    hashed = EntityHasher(sqlite)("x").encode()

    def content() -> bytes:
        return b"".join(path.read_bytes() for path in Path(sqlite.database).parent.glob("predictions.db*"))

    monkeypatch.setattr("skline.logs.stores.sqlite.ERASE_SECONDS", 0.3)
    with closing(sqlite3.connect(sqlite.database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM predictions").fetchone()
        with pytest.raises(SklineError, match=r"still hold copies of them.*repeat the command"):
            maintenance.forget(sqlite, "x")
        assert hashed in content()
    assert maintenance.forget(sqlite, "x") == maintenance.DeletedRows(0, 0, 0)
    assert hashed not in content()


def test_forget_waits_for_a_reader_that_ends(sqlite: LogSettings) -> None:
    write(sqlite, *(at(0, number, entity="x") for number in range(50)))
    with closing(sqlite3.connect(sqlite.database, isolation_level=None, check_same_thread=False)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM predictions").fetchone()
        end = threading.Timer(0.5, reader.execute, ["COMMIT"])
        end.start()
        assert maintenance.forget(sqlite, "x").predictions == 50
        end.join()


@pytest.mark.parametrize("version", ["3.37.2", "3.8.0"])
def test_an_old_sqlite_is_rejected_with_what_to_do(version: str) -> None:
    with pytest.raises(
        SklineError, match=rf"needs SQLite 3\.38\.0 or later, and this Python has {version}; use another"
    ):
        check_version(version)
    check_version("3.38.0")


def test_pending_reviews_are_found_by_indexes(sqlite: LogSettings) -> None:
    write(sqlite, at(0))
    plan = """EXPLAIN QUERY PLAN SELECT prediction_id FROM predictions p WHERE review > 0 AND NOT EXISTS
        (SELECT 1 FROM labels l WHERE l.prediction_id = p.prediction_id) ORDER BY seq LIMIT 10"""
    with closing(sqlite3.connect(sqlite.database)) as connection:
        steps = " / ".join(row[3] for row in connection.execute(plan))
    assert "SCAN p USING INDEX predictions_review" in steps
    assert "SEARCH l USING COVERING INDEX labels_prediction" in steps


def test_status_without_a_log_creates_none(tmp_path: Path) -> None:
    settings = LogSettings(database=str(tmp_path / "logs/log.db"), partitions=tmp_path / "logs/days")
    assert maintenance.status(settings) == ((0, None, None), (0, None, None), {})
    assert list(tmp_path.iterdir()) == []


def test_only_one_process_at_a_time_changes_the_sealed_days(sqlite: LogSettings) -> None:
    write(sqlite, at(1))
    with partitions.lock(sqlite.partitions), pytest.raises(SklineError, match="another process"):
        maintenance.seal(sqlite)
    assert maintenance.seal(sqlite) == {TODAY - ONE_DAY: 1}


def test_commands_print_what_they_changed(sqlite: LogSettings, tmp_path: Path) -> None:
    write(sqlite, at(3, entity="x"), at(1, entity="y"), at(0))
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "contract.json").write_text(CONTRACT.to_json())
    (tmp_path / "artifact.sha256").write_text("a" * 64)
    (tmp_path / "l.csv").write_text(f"prediction_id,label\n{at(0).prediction_id},no\nb,perhaps\n")
    settings = {"SKLINE_LOG__DATABASE": sqlite.database, "SKLINE_LOG__PARTITIONS": str(sqlite.partitions)}

    def skline(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "skline.cli", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | settings, check=False
        )

    labelled = skline("label", "l.csv")
    assert labelled.returncode == 1
    assert labelled.stdout == "1 new, 0 known already, 1 rejected\n"
    assert (
        labelled.stderr.splitlines()[0]
        == "row 1: label 'perhaps': Input should be true or false (as text also yes/no, y/n, t/f, 1/0)"
    )
    assert "1 row rejected (rows are counted from 0); correct them" in labelled.stderr
    assert skline("log", "seal").stdout.endswith("2 predictions sealed in 2 days\n")
    assert "sealed      2 in 2 days" in skline("log", "status").stdout
    forgotten = skline("log", "forget", "y").stdout
    assert "0 predictions from the database, 1 from sealed days" in forgotten
    assert "skline trace --forget" in forgotten
    assert "--days" in skline("log", "purge").stderr
    assert "0 predictions from the database, 1 from sealed days" in skline("log", "purge", "--days", "2").stdout
