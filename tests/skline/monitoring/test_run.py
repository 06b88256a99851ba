"""Tests of a whole window on a real log: states, persistence, and what must not end the report."""

import contextlib
import dataclasses
import datetime as dt
import json
import re
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skline.errors import SklineError
from skline.logs import maintenance
from skline.logs.records import to_us
from skline.logs.rejections import RejectedCount
from skline.logs.stores import open_store
from skline.logs.writer import PredictionLog
from skline.monitoring.checks import Check
from skline.monitoring.data_results import Drift, RejectedRule
from skline.monitoring.job import Job
from skline.monitoring.rejections import describe_rejections, rejected_check
from skline.monitoring.result import WindowResult
from skline.monitoring.run import PAGE, TEXTFILE, run
from skline.monitoring.state import FILE_NAME, read_state
from skline.monitoring.summary import sentence, table
from skline.monitoring.textfile import prometheus_text
from skline.serving.observability.monitor_state import PREFIX, parse_state
from tests.skline.monitoring.conftest import DAY, END
from tests.skline.monitoring.test_report import with_columns
from tests.skline.serving.observability.test_metrics import documented

NOW = END + DAY


def at(job: Job, end: dt.datetime, **changes: Any) -> Job:
    return dataclasses.replace(job, end=end, settings=job.settings.model_copy(update=changes))


def test_unchanged_window_is_ok_and_is_written(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END, 9, 120)
    result = run(job, tmp_path / "reports", NOW)
    assert not result.problems
    assert [check for check in result.checks if check.state == "alarm"] == []
    assert result.states["performance"] == "ok"
    assert result.window.rows == 840
    stored = json.loads((tmp_path / "reports" / result.window.name / "metrics.json").read_text())
    assert WindowResult.model_validate(stored) == result
    assert 'skline_monitor_state{part="all",state="ok"}' in (tmp_path / "reports" / TEXTFILE).read_text()


def test_change_of_unit_is_a_warning_then_an_alarm(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END, 16, 60, lambda row: row | {"sched_dep_time": 1000 * row["sched_dep_time"]})
    first = run(at(job, END - 7 * DAY), tmp_path, NOW)
    second = run(job, tmp_path, NOW)
    outside = [
        next(check for check in each.checks if check.key == "quality/outside/sched_dep_time")
        for each in (first, second)
    ]
    assert [check.state for check in outside] == ["warning", "alarm"]
    assert outside[1].since == first.window.start
    assert second.state == "alarm"
    again = run(job, tmp_path, NOW)
    assert again.state == "alarm"
    assert len(read_state(job.log.folder).windows) == 2


def test_column_that_vanishes_alarms_at_once(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END, 9, 60, lambda row: row | {"carrier": None})
    result = run(job, tmp_path, NOW)
    assert result.state == "alarm"
    assert "carrier" in result.sentence


def test_empty_window_has_insufficient_data(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END - 60 * DAY, 1, 10)
    result = run(job, tmp_path, NOW)
    assert (result.state, result.window.rows) == ("insufficient_data", 0)


def test_missing_log_is_an_error(job: Job, tmp_path: Path) -> None:
    with pytest.raises(SklineError, match="there is no prediction log"):
        run(job, tmp_path, NOW)


def test_broken_rows_and_contradicting_labels_are_counted(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END, 9, 60)
    store = open_store(job.log)
    rows = next(iter(store.read("predictions")))
    broken = [("x" + row[0], *row[1:5], "{broken", *row[6:]) for row in rows[:5]]  # type: ignore[operator]
    store.write("predictions", broken)
    store.write(
        "labels", [("other", row[1], row[0], None, None, value) for row, value in zip(rows[:1], ["true"], strict=True)]
    )
    store.write("labels", [("another", rows[0][1], rows[0][0], None, None, "false")])
    store.close()
    result = run(job, tmp_path, NOW)
    assert result.quality.broken_rows == 5
    assert result.quality.conflicting_labels == 1


def test_sealed_days_and_database_give_the_same_result(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END, 9, 60, entities=20, review=0.5)
    before = run(job, tmp_path, NOW)
    assert before.performance is not None
    assert 150 < before.performance.sampled < 270
    maintenance.seal(job.log, END.date() - dt.timedelta(days=2))
    after = run(job, tmp_path, NOW)
    assert after == before
    assert after.window.entities == 20


def test_sealed_day_that_does_not_know_the_review_sample_is_read(
    fill: Callable[..., None], job: Job, tmp_path: Path
) -> None:
    fill(END, 9, 60, review=0.5)
    maintenance.seal(job.log, END.date())
    path = sorted(job.log.partitions.glob("*.parquet"))[3]
    table = pq.read_table(path)
    reasons = table["review"].cast(pa.bool_())
    pq.write_table(table.set_column(table.column_names.index("review"), "review", reasons), path)
    result = run(job, tmp_path, NOW)
    assert result.window.rows == 420
    assert result.performance is not None
    assert 100 < result.performance.sampled < 240


def test_errors_that_rise_are_found(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END - 8 * DAY, 22, 60, seed=1)
    fill(END, 8, 200, flip=0.4, seed=2)
    floors = dataclasses.replace(job, floors={"roc_auc": 0.75})
    result = run(floors, tmp_path, NOW)
    assert result.concept is not None
    assert result.concept.detected_at is not None
    floor = next(check for check in result.checks if check.key == "performance/floor/roc_auc")
    assert floor.raised


def test_column_that_cannot_be_read_is_a_problem_and_no_end(
    fill: Callable[..., None], job: Job, tmp_path: Path
) -> None:
    fill(END, 9, 60)
    settings = job.settings.model_validate(
        job.settings.model_dump()
        | {"kpis": [{"name": "bad", "expression": "carrier + 1"}, {"name": "good", "expression": "score"}]}
    )
    result = run(dataclasses.replace(job, settings=settings), tmp_path, NOW)
    assert [problem.subject for problem in result.problems] == ["bad"]
    assert next(each for each in result.kpis if each.name == "good").per_thousand.value == pytest.approx(333, abs=40)


def test_concept_drift_that_cannot_be_computed_leaves_the_metrics_decided(
    fill: Callable[..., None], job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no errors")

    fill(END, 9, 60)
    monkeypatch.setattr("skline.monitoring.concept.detect_rises", fail)
    result = run(job, tmp_path, NOW)
    assert (result.states["performance"], result.states["concept"]) == ("ok", "insufficient_data")
    assert [each.message for each in result.checks if each.part == "concept"] == ["it could not be computed"]


def test_library_that_is_not_installed_ends_monitoring(
    fill: Callable[..., None], job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(END - DAY, 7, 100)
    monkeypatch.setitem(sys.modules, "river.drift", None)
    with pytest.raises(ModuleNotFoundError, match="river"):
        run(job, tmp_path / "reports", END)


def test_service_that_rejects_the_release_is_a_warning_and_said_in_the_sentence(
    fill: Callable[..., None], job: Job, tmp_path: Path
) -> None:
    fill(END, 7, 100)
    line = "the service at 127.0.0.1:8000 still serves demo@1: demo@2 has another contract; restart the service"
    result = run(dataclasses.replace(job, rejections=(line,)), tmp_path / "reports", END)
    assert result.state == "warning"
    assert result.sentence.startswith(f"Warning: {line}. It matters")
    assert "the predictions are not those of the released model" in result.sentence
    assert "skline rollback --to" in result.sentence
    assert f"operations/release: {line}" in table(result)
    assert f"{line}.</span>" in (tmp_path / "reports" / PAGE).read_text()


def test_damaged_state_is_an_error(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END, 9, 60)
    (job.log.folder / FILE_NAME).write_text("{")
    with pytest.raises(SklineError, match="move the file away"):
        run(job, tmp_path, NOW)


def test_textfile_has_the_documented_metrics_and_the_service_exports_it(
    fill: Callable[..., None], job: Job, tmp_path: Path
) -> None:
    fill(END, 9, 60)
    settings = job.settings.model_validate(
        job.settings.model_dump() | {"kpis": [{"name": "mean", "expression": "score"}]}
    )
    result = run(dataclasses.replace(job, settings=settings), tmp_path, NOW)
    families = parse_state(prometheus_text(with_columns(result, 3)).encode())
    in_docs = {name: each for name, each in documented().items() if name.startswith(PREFIX)}
    families_by_name = {f"{each.name}_total" if each.type == "counter" else each.name: each for each in families}
    assert {name: each.type for name, each in families_by_name.items()} == {
        name: kind for name, (kind, _) in in_docs.items()
    }
    for name, family in families_by_name.items():
        labels = in_docs[name][1]
        assert {label for sample in family.samples for label in sample.labels} == labels.keys(), name
        for label, values in labels.items():
            assert not values or {sample.labels[label] for sample in family.samples} == values


def test_rejected_requests_raise_a_check_and_batches_count_by_their_rows(
    fill: Callable[..., None], job: Job, tmp_path: Path
) -> None:
    fill(END, 9, 60)
    minute = to_us(END - 2 * DAY)
    log = PredictionLog(job.log)
    for rule, column, requests, rows in (
        ("*", "*", 60, 120),
        ("missing", "carrier", 50, 110),
        ("type", "other", 15, 15),
    ):
        log.put_rejections([RejectedCount.new(minute, "demo", rule, column, requests, rows)])
    log.put_rejections([RejectedCount.new(to_us(END), "demo", "*", "*", 1_000, 1_000)])
    log.close()
    result = run(job, tmp_path, NOW)
    quality = result.quality
    assert (quality.rejected_requests, quality.rejected_rows) == (60, 120)
    assert quality.rejected.value == pytest.approx(120 / 540)
    assert [each.rule for each in quality.rejections] == ["missing", "type"]
    check = next(check for check in result.checks if check.rule == "rejected")
    assert check.raised
    assert "22.2 % of the rows were rejected, most of them by the rule missing in the column carrier" in check.message
    assert "Rejected requests" in (tmp_path / PAGE).read_text()
    one_batch = describe_rejections(
        quality, [RejectedRule(rule="*", column="*", requests=1, rows=120), *quality.rejections]
    )
    assert rejected_check(one_batch, 0.05, 300).raised is False  # one request of 120 rows may be chance


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"compare": "season"}, "no rows of earlier seasons"),
        ({"compare": "season", "window": 40 * DAY}, "no rows of earlier seasons"),
        ({"compare": "previous"}, "no rows in the previous window"),
    ],
)
def test_reference_without_rows_is_an_undecided_check_and_is_said(
    fill: Callable[..., None], job: Job, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    fill(END, 6, 80)
    result = run(at(job, END, **changes), tmp_path, NOW)
    check = next(check for check in result.checks if check.part == "drift")
    assert (check.key, check.raised, check.message) == ("drift/effect/all", None, reason)
    assert result.states["drift"] == "insufficient_data"
    assert re.search(rf"^drift +insufficient_data: {re.escape(reason)}$", table(result), re.MULTILINE)
    page = (tmp_path / PAGE).read_text()
    assert f"Nothing was compared: {reason}." in page
    assert not result.problems


def test_rows_of_other_versions_are_told_and_rows_of_unknown_artifacts_are_a_finding(
    fill: Callable[..., None], job: Job, tmp_path: Path
) -> None:
    fill(END, 7, 80)
    database = sqlite3.connect(job.log.database)
    with contextlib.closing(database), database:
        sql = "UPDATE predictions SET artifact_digest = ? WHERE rowid % 40 = ?"
        database.executemany(sql, [("a" * 64, 0), ("", 1)])  # a fallback without an artifact has none
    known = run(dataclasses.replace(job, known_versions={"a" * 64: "demo/1"}), tmp_path, NOW)
    text = "14 rows were predicted by other versions of the model: 14 by demo/1"
    assert text in table(known)
    assert text in (tmp_path / PAGE).read_text()
    assert other_contract(known).raised is False
    unknown = run(job, tmp_path, NOW)
    assert other_contract(unknown).raised is True
    assert other_contract(unknown).message.endswith("neither released nor registered here (aaaaaaaaaaaa…)")
    assert unknown.sentence.endswith("Next: find the service that writes to this log, or get its line of "
                                     "releases/registered.jsonl.")  # fmt: skip


def other_contract(result: WindowResult) -> Check:
    return next(check for check in result.checks if check.rule == "other_contract")


def test_undecided_parts_say_why(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END, 1, 412)
    new = table(run(at(job, END), tmp_path, NOW))
    assert re.search(r"^performance +insufficient_data: 0 of 412 predictions are older than ", new, re.MULTILINE)
    fill(END - 7 * DAY, 1, 500, labels=0.1)
    few = table(run(at(job, END - 6 * DAY), tmp_path, NOW))
    assert re.search(
        r"^bias +insufficient_data: \d+ of 500 predictions that are older than monitor\.label_horizon \(1d\) have a "
        r"label; monitor\.performance\.min_labels is 200$", few, re.MULTILINE,
    )  # fmt: skip


def test_season_with_rows_is_compared(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END, 15, 60)
    result = run(at(job, END, compare="season"), tmp_path, NOW)
    assert result.drift is not None
    assert (result.drift.reference, result.drift.obstacle) == ("season", None)
    assert result.states["drift"] == "ok"


def test_folders_of_windows_that_the_history_drops_are_removed(
    fill: Callable[..., None], job: Job, tmp_path: Path
) -> None:
    fill(END, 16, 40)
    reports = tmp_path / "reports"
    (reports / "mine").mkdir(parents=True)
    names = [
        run(at(job, END - days * DAY, keep=3, window=2 * DAY), reports, NOW).window.name for days in (8, 6, 4, 2, 0)
    ]
    assert {path.name for path in reports.iterdir() if path.is_dir()} == {"mine", *names[2:]}


def test_drift_of_the_score_matters_although_the_score_has_no_importance() -> None:
    check = Check(
        part="drift", rule="effect", subject="(score)", raised=True, state="alarm", message="the score has drifted"
    )
    drift = Drift(reference="training", reference_rows=800, importance=0.0, columns=())
    assert "It matters: the predictions themselves have shifted." in sentence("alarm", [check], drift, 1000)


def test_log_without_inputs_is_monitored_by_its_labels(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END, 9, 120)
    result = run(dataclasses.replace(job, log=job.log.model_copy(update={"columns": ()})), tmp_path / "reports", NOW)
    assert not result.problems
    assert result.quality.columns == ()
    assert result.states["performance"] == "ok"
