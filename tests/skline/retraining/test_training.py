"""Every step of a training can be repeated without doubled rows, and its result is that of its own run."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from skline import paths
from skline.errors import SklineError
from skline.feedback import list_snapshots, read_feedback
from skline.logs.settings import LogSettings
from skline.release.registered import RegisteredVersion, record_version
from skline.release.verdict import GateResult, Verdict
from skline.retraining import training
from skline.settings import Settings
from skline.stages.declared import Declared
from tests.fixtures import demo
from tests.fixtures.sample_project import contract as module
from tests.fixtures.sample_project.source import prepare_feedback
from tests.skline.retraining.conftest import DAY, NOW, Write, label, prediction
from tests.skline.retraining.test_snapshot import INPUTS

SETTINGS = Settings.load(demo.PARAMS)
DECLARED = Declared(demo.contract(), module.Labelled, prepare_feedback)
DIGEST = "d" * 64
LINE = RegisteredVersion(
    time=NOW, model="flights", version="4", artifact_sha256=DIGEST, contract_sha256="c", git_commit=None, verdict=None,
    verdict_sha256=None,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _in_an_empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, without DVC."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("skline.retraining.snapshot.track_table", lambda *_: [])


def fill(write: Write, first: int, last: int, days: int) -> None:
    """Log labelled predictions that are so many days old."""
    names = [f"p{number:03}" for number in range(first, last)]
    write(
        [prediction(each, NOW - days * DAY, inputs=INPUTS) for each in names],
        [label(each, NOW - days * DAY + DAY / 2) for each in names],
    )


def test_next_snapshot_begins_where_the_last_one_ended(log: LogSettings, write: Write) -> None:
    fill(write, 0, 20, days=9)
    first = training.add_snapshot(SETTINGS, log, DECLARED, NOW - 5 * DAY)
    assert first is not None
    assert first[0].since == NOW - 9 * DAY
    assert training.add_snapshot(SETTINGS, log, DECLARED, NOW - 5 * DAY) is None, "killed after the snapshot, and again"
    assert training.add_snapshot(SETTINGS, log, DECLARED, NOW - 6 * DAY) is None, "an earlier moment"
    assert training.add_snapshot(SETTINGS, log, DECLARED, NOW - 4 * DAY) is None, "no label has matured since"
    fill(write, 20, 30, days=3)
    write([], [label("p000", NOW - DAY, False, number=1)])
    second = training.add_snapshot(SETTINGS, log, DECLARED, NOW)
    assert second is not None
    assert (second[0].number, second[0].since, len(second[1].rows)) == (2, NOW - 5 * DAY, 11)
    rows = read_feedback(paths.FEEDBACK, demo.contract()).rows
    assert sorted(rows["flight_id"]) == [f"p{number:03}" for number in range(30)]
    assert rows.set_index("flight_id")["late"].value_counts().to_dict() == {True: 29, False: 1}
    assert rows.loc[~rows["late"], "log.label_revision"].tolist() == [2]


def test_half_snapshot_of_a_killed_process_is_written_again(log: LogSettings, write: Write) -> None:
    fill(write, 0, 20, days=9)
    paths.FEEDBACK.mkdir(parents=True)
    (paths.FEEDBACK / ".0001-20260523T000000Z-20260601T000000Z.parquet.x1").write_bytes(b"half")
    training.add_snapshot(SETTINGS, log, DECLARED, NOW)
    [snapshot] = list_snapshots(paths.FEEDBACK)
    assert sorted(path.name for path in paths.FEEDBACK.iterdir()) == [".gitignore", snapshot.path.name]
    assert len(pd.read_parquet(snapshot.path)) == 20


def test_rows_that_all_break_the_contract_are_an_error_that_names_the_column(log: LogSettings, write: Write) -> None:
    fill(write, 0, 20, days=9)
    with pytest.raises(SklineError, match=r"none of 20 .* month must not be missing: 20 rows.*prepare_feedback"):
        training.add_snapshot(SETTINGS, log, Declared(demo.contract(), module.Labelled, None), NOW)
    assert list_snapshots(paths.FEEDBACK) == []


def test_description_says_in_which_parts_the_rows_are(log: LogSettings, write: Write) -> None:
    fill(write, 0, 20, days=9)
    write([prediction("far", NOW - 9 * DAY, inputs=INPUTS | {"distance": 99_999})], [label("far", NOW - 8 * DAY)])
    added = training.add_snapshot(SETTINGS, log, DECLARED, NOW)
    assert added is not None
    lines = training.describe_snapshot(*added, DECLARED, SETTINGS)
    assert f"delete this file and {added[0].path.name}.dvc next to it" in training.describe_removal(added[0])
    assert lines[0].endswith(".parquet: 20 rows, 20 in train")
    assert lines[1].startswith("left out because of the contract: 1 row (")
    later = SETTINGS.model_copy(
        update={"split": SETTINGS.split.model_copy(update={"validation_from": dt.date(2013, 1, 2)})}
    )
    assert "none of them is in the training part" in training.describe_snapshot(*added, DECLARED, later)[-1]


def pipeline(monkeypatch: pytest.MonkeyPatch, *, passed: bool, recorded: bool = True) -> list[str]:
    """Replace `dvc repro` by the files that it writes; return the targets that it is called with."""
    targets = []

    def repro(*arguments: str, lock: int) -> None:
        targets.append(" ".join(arguments))
        verdict = Verdict(artifact_sha256=DIGEST, gates=(GateResult(gate="floor", passed=passed, reason="0.6 of 0.7"),))
        for path, text in (
            (paths.CANDIDATE_DIGEST, DIGEST + "\n"),
            (paths.VERDICT, verdict.model_dump_json()),
        ):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        if not arguments and recorded:
            record_version(paths.REGISTERED, LINE)

    monkeypatch.setattr(training, "_repro", repro)
    return targets


@pytest.mark.parametrize(("served", "outcome"), [("a" * 64, "registered"), (DIGEST, "unchanged")])
def test_passed_candidate_is_registered(monkeypatch: pytest.MonkeyPatch, served: str, outcome: str) -> None:
    targets = pipeline(monkeypatch, passed=True)
    result = training.run_pipeline(SETTINGS, NOW, None, served, 0).training
    assert targets == ["assess", ""]
    assert (result.outcome, result.version, result.labels_until) == (outcome, "flights/4", NOW)


def test_version_that_was_registered_before_the_training_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline(monkeypatch, passed=True)
    record_version(paths.REGISTERED, LINE)
    result = training.run_pipeline(SETTINGS, NOW, None, "a" * 64, 0).training
    assert (result.outcome, result.version) == ("unchanged", "flights/4")
    assert result.message.startswith("this version was there before the training. May be released: ")


def test_registered_artifact_without_a_line_in_the_record_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline(monkeypatch, passed=True, recorded=False)
    with pytest.raises(SklineError, match=r"registered.jsonl does not list the artifact d{12}….*Restore it from git"):
        training.run_pipeline(SETTINGS, NOW, None, "a" * 64, 0)


def test_candidate_that_fails_a_gate_is_not_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = pipeline(monkeypatch, passed=False)
    result = training.run_pipeline(SETTINGS, NOW, None, "a" * 64, 0).training
    assert targets == ["assess"]
    assert (result.outcome, result.version) == ("rejected", None)
    assert "floor: 0.6 of 0.7" in result.message


def test_pipeline_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: 7\n")
    run: Callable[..., object] = training.run_pipeline
    with (tmp_path / "lock").open("w") as file, pytest.raises(SklineError, match="`dvc repro assess` failed"):
        run(SETTINGS, NOW, None, DIGEST, file.fileno())
