"""Sealing, purging, forgetting and reading: every prediction is read once, wherever it is, or is really gone."""

import datetime as dt
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from skline.errors import SklineError
from skline.logs import partitions, postgres, sqlite, store, upkeep
from skline.logs.entity import EntityHasher
from skline.logs.labels import Label, Labels
from skline.logs.read import read_labelled, read_labels, read_predictions
from skline.logs.records import Encoder, Prediction, Row, to_us
from skline.logs.settings import LogSettings
from tests.demo import ROOT
from tests.postgres import Server
from tests.skline.logs.conftest import CONTRACT, prediction

TODAY = upkeep.today()
ONE = dt.timedelta(days=1)


def at(days_ago: int, number: int = 0, **given: object) -> Prediction:
    """A prediction made on a day, `number` seconds after midnight."""
    day = TODAY - days_ago * ONE
    return prediction(prediction_id=f"{day}-{number}", time=to_us(day) + number * 1_000_000, **given)


def write(settings: LogSettings, *records: Prediction) -> None:
    encode = Encoder(settings, EntityHasher(settings))
    with closing(store.open_store(settings)) as opened:
        opened.write("predictions", [encode(record) for record in records])


def ids(settings: LogSettings, since: dt.datetime | None = None, until: dt.datetime | None = None) -> list[str]:
    found: list[str] = read_predictions(settings, since, until)["prediction_id"].to_pylist()
    return found


def test_sealed_days_and_the_database_are_read_as_one(settings: LogSettings) -> None:
    records = [at(age, number) for age in (3, 2, 1, 0) for number in (0, 1, 86_399 if age else 2)]
    write(settings, *records)
    everything = read_predictions(settings)
    assert list(upkeep.seal(settings, TODAY - ONE).values()) == [3, 3]
    assert read_predictions(settings).equals(everything)
    assert everything["prediction_id"].to_pylist() == [record.prediction_id for record in records]
    status = upkeep.status(settings)
    assert (status.predictions.rows, list(status.sealed)) == (6, [TODAY - 3 * ONE, TODAY - 2 * ONE])
    for first in range(0, len(records), 2):
        for last in range(first, len(records), 2):
            since, until = everything["time"][first].as_py(), everything["time"][last].as_py()
            expected = [record.prediction_id for record in records[first:last]]
            assert ids(settings, since, until.replace(tzinfo=None)) == expected
    assert upkeep.seal(settings) == {TODAY - ONE: 3}
    assert upkeep.seal(settings) == {}


def test_rows_that_come_late_are_added_to_their_day_once(settings: LogSettings) -> None:
    write(settings, at(1, 0), at(1, 1))
    upkeep.seal(settings)
    write(settings, at(1, 1), at(1, 2))
    assert ids(settings) == [at(1, number).prediction_id for number in (0, 1, 2)]
    assert upkeep.seal(settings) == {TODAY - ONE: 2}
    assert ids(settings) == [at(1, number).prediction_id for number in (0, 1, 2)]


def test_rows_that_are_written_while_a_day_is_sealed_stay_in_the_database(settings: LogSettings) -> None:
    write(settings, at(1, 0))
    with closing(store.open_store(settings)) as opened:

        def keep(chunks: Iterator[list[Row]]) -> None:
            taken = [row[0] for rows in chunks for row in rows]
            assert taken == [at(1, 0).prediction_id]
            write(settings, at(1, 1))

        day = TODAY - ONE
        assert opened.take(to_us(day), to_us(TODAY), keep) == 1
    assert ids(settings) == [at(1, 1).prediction_id]


def test_who_reads_while_days_are_sealed_sees_every_row_once(
    settings: LogSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (store, sqlite, postgres):
        monkeypatch.setattr(module, "CHUNK", 25)
    records = [at(age, number) for age in (5, 4, 3, 2, 1) for number in range(60)]
    write(settings, *records)
    sealing = threading.Thread(target=upkeep.seal, args=(settings,))
    sealing.start()
    reads = 0
    while sealing.is_alive() or not reads:
        assert ids(settings) == [record.prediction_id for record in records]
        reads += 1
    sealing.join()
    assert upkeep.status(settings).predictions.rows == 0


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["seal", "forget"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_killed_before_any_step_nothing_is_lost_or_doubled(
    operation: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: list[Server] = [request.getfixturevalue("server")] if kind == "postgres" else []
    done = subprocess.run(
        [sys.executable, "-m", "tests.skline.logs.crash", operation, str(tmp_path), *(one.url for one in server)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 15


def test_purging_keeps_the_last_complete_days(settings: LogSettings) -> None:
    write(settings, *(at(age) for age in range(6)))
    upkeep.seal(settings, TODAY - 2 * ONE)
    labels = Labels(settings, CONTRACT)
    labels.append([Label(prediction_id="a", label=True)])
    labels.close()
    assert upkeep.purge(settings, 3) == upkeep.Removed(predictions=0, sealed=2, labels=0)
    assert upkeep.purge(settings, 1) == upkeep.Removed(predictions=1, sealed=1, labels=0)
    assert ids(settings) == [at(age).prediction_id for age in (1, 0)]
    assert read_labels(settings).num_rows == 1


def test_an_entity_is_forgotten_everywhere_and_nobody_else_is(settings: LogSettings) -> None:
    write(settings, at(2, 0, entity="x"), at(2, 1, entity="y"), at(2, 2), at(1, 0, entity="x"), at(0, 0, entity="x"))
    write(settings, at(0, 1, entity="y"))
    upkeep.seal(settings)
    labels = Labels(settings, CONTRACT)
    labels.append([Label(prediction_id=at(*one).prediction_id, label=True) for one in ((2, 0), (2, 1), (0, 0), (0, 1))])
    labels.append([Label(entity=who, event_time=dt.datetime(2026, 1, 1), label=True) for who in "xy"])
    labels.close()
    assert upkeep.forget(settings, "x") == upkeep.Removed(predictions=1, sealed=2, labels=3)
    kept = [at(2, 1), at(2, 2), at(0, 1)]
    assert ids(settings) == [record.prediction_id for record in kept]
    assert read_labelled(settings)["label"].to_pylist() == ["true", None, "true"]
    assert read_labels(settings).num_rows == 3
    hashed = EntityHasher(settings)("x").encode()
    if not settings.is_postgres:
        content = b"".join(path.read_bytes() for path in Path(settings.database).parent.glob("predictions.db*"))
        assert hashed not in content
    assert upkeep.forget(settings, "x") == upkeep.Removed(0, 0, 0)


def test_only_one_process_changes_the_sealed_days(sqlite: LogSettings) -> None:
    write(sqlite, at(1))
    with partitions.locked(sqlite.partitions), pytest.raises(SklineError, match="another process"):
        upkeep.seal(sqlite)
    assert upkeep.seal(sqlite) == {TODAY - ONE: 1}


def test_the_commands(sqlite: LogSettings, tmp_path: Path) -> None:
    write(sqlite, at(3, entity="x"), at(1, entity="y"), at(0))
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "contract.json").write_text(CONTRACT.to_json())
    (tmp_path / "l.csv").write_text(f"prediction_id,label\n{at(0).prediction_id},no\nb,perhaps\n")
    environment = {"SKLINE_LOG__DATABASE": sqlite.database, "SKLINE_LOG__PARTITIONS": str(sqlite.partitions)}

    def skline(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "skline.cli", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)

    labelled = skline("label", "l.csv")
    assert labelled.returncode == 1
    assert labelled.stdout == "1 new, 0 known already, 1 refused\n"
    assert labelled.stderr.splitlines()[0] == "row 2: label 'perhaps': Input should be a valid boolean"
    assert skline("log", "seal").stdout.endswith("2 predictions sealed in 2 days\n")
    assert "sealed      2 in 2 days" in skline("log", "status").stdout
    assert "0 predictions from the database, 1 from sealed days" in skline("log", "forget", "y").stdout
    assert "--days" in skline("log", "purge").stderr
    assert "0 predictions from the database, 1 from sealed days" in skline("log", "purge", "--days", "2").stdout
