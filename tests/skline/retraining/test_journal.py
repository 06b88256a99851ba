"""The journal keeps every line, leaves out half ones, and tells of the last training and the hold in force."""

import datetime as dt
import json
from pathlib import Path

import pytest

from skline.errors import SklineError
from skline.retraining.decision import Decision
from skline.retraining.journal import FILE_NAME, Entry, Outcome, Training, append_entry, read_journal
from tests.skline.retraining.conftest import DAY, NOW


def training(days: int, outcome: Outcome, snapshot: str | None = None) -> Entry:
    time = NOW - days * DAY
    result = Training(outcome=outcome, labels_until=time, snapshot=snapshot, message="m")
    return Entry(time=time, who="eve", kind="training", training=result)


def held(days: int, until: int) -> Entry:
    return Entry(time=NOW - days * DAY, who="eve", kind="hold", reason="audit", until=NOW + until * DAY)


def test_line_that_was_cut_off_is_left_out_and_the_next_one_is_whole(tmp_path: Path) -> None:
    entry = Entry(time=NOW, who="eve", kind="decision", decision=Decision(retrain=False))
    append_entry(tmp_path, entry)
    whole = (tmp_path / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(whole + whole[:40])
    append_entry(tmp_path, entry)
    journal = read_journal(tmp_path)
    assert journal.entries == (entry, entry)
    assert journal.damaged_lines == (2,)
    assert (tmp_path / FILE_NAME).read_bytes().startswith(whole), "lines are only appended"


def test_training_that_failed_is_none(tmp_path: Path) -> None:
    assert read_journal(tmp_path).last_training is None
    for entry in (training(5, "registered"), training(4, "rejected"), training(3, "failed")):
        append_entry(tmp_path, entry)
    journal = read_journal(tmp_path)
    assert journal.last_training is not None
    assert journal.labels_until == journal.last_training.time == NOW - 4 * DAY
    assert journal.up_to(NOW - 5 * DAY).labels_until == NOW - 5 * DAY
    assert journal.up_to(NOW - 6 * DAY).labels_until is None


def test_training_without_new_labels_and_another_version_begins_no_cooldown(tmp_path: Path) -> None:
    append_entry(tmp_path, training(5, "registered"))
    append_entry(tmp_path, training(4, "unchanged"))
    journal = read_journal(tmp_path)
    assert journal.last_cooldown == journal.entries[0]
    assert journal.labels_until == NOW - 4 * DAY
    append_entry(tmp_path, training(3, "unchanged", snapshot="0001.parquet"))
    append_entry(tmp_path, training(2, "failed"))
    journal = read_journal(tmp_path)
    assert journal.last_cooldown == journal.last_training == journal.entries[2]


def test_hold_is_the_last_one_that_was_not_ended(tmp_path: Path) -> None:
    append_entry(tmp_path, held(3, until=1))
    append_entry(tmp_path, held(2, until=5))
    hold = read_journal(tmp_path).hold
    assert hold is not None
    assert (hold.until, hold.reason) == (NOW + 5 * DAY, "audit")
    append_entry(tmp_path, Entry(time=NOW, who="eve", kind="resume"))
    assert read_journal(tmp_path).hold is None
    assert read_journal(tmp_path).up_to(NOW - dt.timedelta(seconds=1)).hold is not None


def test_line_of_a_newer_format_is_an_error_because_it_may_be_a_hold(tmp_path: Path) -> None:
    append_entry(tmp_path, training(1, "registered"))
    with (tmp_path / FILE_NAME).open("a") as file:
        file.write(json.dumps({"format": 2, "kind": "hold", "until": {"date": "2099-01-01"}}) + "\n")
    with pytest.raises(SklineError, match="lines of format 2, and this version of skline reads 1; upgrade skline"):
        read_journal(tmp_path)


def test_line_with_a_time_without_a_zone_is_damaged(tmp_path: Path) -> None:
    values = json.loads(held(3, until=1).model_dump_json(exclude_none=True))
    for name in ("time", "until"):
        with (tmp_path / FILE_NAME).open("a") as file:
            file.write(json.dumps(values | {name: "2026-05-01T00:00:00"}) + "\n")
    journal = read_journal(tmp_path)
    assert (journal.up_to(NOW).hold, journal.damaged_lines) == (None, (1, 2))
