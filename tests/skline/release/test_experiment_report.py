"""Reports on logs whose truth is known: what they conclude, and when they conclude nothing."""

import datetime as dt
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from skline.clock import now_us
from skline.ids import new_prediction_id
from skline.logs.entity import EntityHasher
from skline.logs.labels import Label, LabelLog
from skline.logs.partitions import LABEL_SCHEMA, PREDICTION_SCHEMA
from skline.logs.records import Prediction, PredictionEncoder
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.release.experiment import Design, Experiment, bucket
from skline.release.experiment_report import ExperimentReport, logged_requests, report_experiment
from skline.release.looks import LookStore
from skline.release.manifest import Arm, Release
from skline.release.units import collect_units
from tests.fixtures import demo
from tests.skline.release.project import make

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
#: All entities are closed by then.
LATER = NOW + dt.timedelta(days=30)
Log = tuple[pa.Table, pa.Table]
DESIGN = Design(kpi="label", better="higher", units=1000, looks=4)


def release(kind: Any, weight: int = 5000, design: Design | None = None) -> Release:
    def arm(name: str, digit: str, share: int) -> Arm:
        mode: Any = "shadow" if kind == "shadow" and name == "challenger" else "live"
        return Arm(name=name, version=f"demo/{digit}", artifact="x", sha256=digit * 64, weight=share, mode=mode)

    share = 0 if kind == "shadow" else weight
    experiment = Experiment(name="e", kind=kind, salt="s", started_at=NOW, design=design)
    arms = arm("champion", "1", 10_000 - share), arm("challenger", "2", share)
    return Release(number=2, published_at=NOW, arms=arms, experiment=experiment)


def make_log(rows: list[dict[str, Any]]) -> Log:
    """Return predictions, one a second, and labels, which arrive a minute later; rows are given by what matters."""
    defaults = {"inputs": "{}", "prediction": "1.0", "experiment": "e", "bucket": 1, "review": 0, "latency_us": 100}
    full = [
        defaults
        | {"prediction_id": f"p{n}", "time": NOW + dt.timedelta(seconds=n), "role": row.get("arm", "champion")}
        | {"artifact_digest": ("2" if row.get("role", row.get("arm")) == "challenger" else "1") * 64}
        | row
        for n, row in enumerate(rows)
    ]
    labels = [
        {"label_id": f"l{n}", "label": row["label"], "prediction_id": row["prediction_id"]}
        | {"time": row["time"] + row.get("label_after", dt.timedelta(minutes=1))}
        for n, row in enumerate(full)
        if row.get("label") is not None
    ]
    return pa.Table.from_pylist(full, schema=PREDICTION_SCHEMA), pa.Table.from_pylist(labels, schema=LABEL_SCHEMA)


def report(
    of: Release, log: Log, folder: Path | None = None, now: dt.datetime = LATER, changes: Sequence[dt.datetime] = ()
) -> ExperimentReport:
    """Report on a log; looks are kept in `folder`, or forgotten."""
    with tempfile.TemporaryDirectory() as temporary:
        return report_experiment(of, *log, LookStore((folder or Path(temporary)) / "looks.jsonl"), now, changes)


def ab_log(units: int, lift: float, share: float = 0.5, seed: int = 1, labelled: float = 1) -> Log:
    """Return a log of entities in both arms: a fifth, and `lift` more with the challenger, have the label 1."""
    rng = np.random.default_rng(seed)
    rows = []
    for unit in range(units):
        arm = "challenger" if rng.random() < share else "champion"
        label = int(rng.random() < 0.2 + lift * (arm == "challenger"))
        is_labelled = unit < units * labelled
        rows.append({"entity": f"u{unit}", "arm": arm, "label": str(label) if is_labelled else None})
    return make_log(rows)


def test_a_better_challenger_ends_the_test_early_and_an_equal_one_at_the_last_look() -> None:
    result = report(release("ab", design=DESIGN), ab_log(700, 0.3))
    assert result.figures["conclusion"] == "better"
    assert result.figures["look"] < 4
    assert result.lines[-1].startswith("conclusion: the challenger is better")
    worse = report(release("ab", design=DESIGN.model_copy(update={"better": "lower"})), ab_log(700, 0.3))
    assert worse.figures["conclusion"] == "worse"
    equal = report(release("ab", design=DESIGN), ab_log(1100, 0.0))
    assert (equal.figures["conclusion"], equal.figures["look"]) == ("no difference shown", 4)
    low, high = equal.figures["interval"]
    assert low < 0 < high


def test_no_difference_is_reported_before_the_first_look() -> None:
    result = report(release("ab", design=DESIGN), ab_log(900, 0.3, labelled=0.2))
    assert result.figures["conclusion"] is None
    assert "effect" not in result.figures
    assert any("no conclusion yet" in line for line in result.lines)
    fixed = Design(kpi="label", better="higher", units=5000)
    assert "effect" not in report(release("ab", design=fixed), ab_log(900, 0.3)).figures


def test_arm_sizes_that_do_not_fit_the_share_make_the_test_invalid() -> None:
    result = report(release("ab", design=DESIGN), ab_log(2000, 0.3, share=0.4))
    assert result.figures["conclusion"] == "invalid"
    assert "effect" not in result.figures
    planned = report(release("ab", weight=4000, design=DESIGN), ab_log(2000, 0.3, share=0.4))
    assert planned.figures["conclusion"] == "better"


def test_equal_arms_differ_no_more_often_than_alpha() -> None:
    small = release("ab", design=DESIGN.model_copy(update={"units": 200}))
    conclusions = [report(small, ab_log(230, 0.0, seed=seed)).figures["conclusion"] for seed in range(150)]
    alarms = conclusions.count("better") + conclusions.count("worse")
    assert alarms <= 150 * 0.05 + 4 * np.sqrt(150 * 0.05 * 0.95)
    assert conclusions.count("no difference shown") > 100


def test_the_unit_is_the_entity_and_not_the_row() -> None:
    rows = [{"entity": f"u{n % 40}", "arm": "challenger" if n % 2 else "champion", "label": "1"} for n in range(2000)]
    result = report(release("ab", design=DESIGN), make_log(rows))
    assert result.figures["units"] == {"champion": 20, "challenger": 20}
    moved = report(release("ab", design=DESIGN), make_log([*rows, {"entity": "u0", "arm": "challenger"}]))
    assert moved.figures["mixed_units"] == 1


def looks_of(result: ExperimentReport) -> list[str]:
    return [line for line in result.lines if line.startswith("look ")]


def test_looks_that_were_taken_stay_when_labels_are_corrected_or_the_log_is_purged(tmp_path: Path) -> None:
    test = release("ab", design=DESIGN)
    predictions, labels = ab_log(400, 0.0)
    early = report(test, (predictions, labels), tmp_path)
    assert len(looks_of(early)) == 1
    entities = predictions["arm"].to_pylist()
    corrected = [str(int(arm == "challenger")) for arm in entities]
    labels = labels.set_column(labels.schema.get_field_index("label"), "label", pa.array(corrected, pa.string()))
    later = report(test, (predictions, labels), tmp_path)
    assert looks_of(later) == looks_of(early)
    purged = report(test, make_log([]), tmp_path)
    assert looks_of(purged) == looks_of(early)
    assert report(test, (predictions, labels)).figures["conclusion"] == "better"


def test_an_entity_counts_when_it_is_closed_and_labels_that_come_later_do_not(tmp_path: Path) -> None:
    test = release("ab", design=DESIGN)
    log = ab_log(700, 0.3)
    before = report(test, log, tmp_path, now=NOW + dt.timedelta(days=8))
    assert sum(before.figures["closed"].values()) == 1
    assert before.figures["conclusion"] is None
    assert "look 1 of 4 needs closed and labelled entities" in before.lines[-2]
    week = dt.timedelta(days=7)
    late = {"entity": "late", "arm": "champion", "label": "1", "label_after": dt.timedelta(days=9)}
    outside = {"entity": "late", "arm": "champion", "label": "1", "time": NOW + week + dt.timedelta(seconds=60)}
    result = report(test, make_log([late, outside]))
    assert (sum(result.figures["closed"].values()), sum(result.figures["labelled"].values())) == (1, 0)
    assert result.figures["late_labels"] == 1
    assert any("1 predictions have a label that came after" in line for line in result.lines)


def test_a_label_that_is_corrected_in_time_counts_and_a_later_correction_does_not() -> None:
    predictions, labels = make_log([{"entity": "a", "arm": "champion", "label": "0"}])
    [first] = labels.to_pylist()
    corrections = [
        first | {"label_id": "c1", "label": "1", "time": NOW + dt.timedelta(days=7)},
        first | {"label_id": "c2", "label": "0", "time": NOW + dt.timedelta(days=20)},
    ]
    labels = pa.Table.from_pylist([first, *corrections], schema=LABEL_SCHEMA)
    assert collect_units(DESIGN, predictions, labels).kpi.tolist() == [1.0]


def test_rows_of_a_batch_are_one_request_and_what_no_model_predicted_is_left_out() -> None:
    batch = {"request_id": "r", "time": NOW}
    rows: list[dict[str, Any]] = [
        {"entity": "a", "arm": "champion", **batch},
        {"entity": "a", "arm": "champion", **batch},
        {"entity": "b", "arm": "challenger", "role": "champion", **batch},
        {"entity": "c", "arm": "challenger", "role": "champion", "artifact_digest": ""},
        {"entity": "d", "arm": "champion", "artifact_digest": "", "latency_us": 60_000},
    ]
    requests = logged_requests(release("canary"), make_log(rows)[0])
    found = [(r.arm, len(r.entities), r.scores is None, r.latency_us) for r in requests]
    assert found == [("champion", 1, False, None), ("challenger", 1, True, None), ("champion", 1, True, 60_000)]


def test_at_a_small_share_only_the_entities_that_a_service_counts_are_requests() -> None:
    buckets = {"challenger": 99, "counted": 499, "not counted": 500, "far away": 9_999}  # a share of 1 %: 100 of 10,000
    rows = [
        {"entity": name, "arm": "challenger" if name == "challenger" else "champion", "bucket": bucket}
        for name, bucket in buckets.items()
    ]
    requests = logged_requests(release("canary", weight=100), make_log(rows)[0])
    assert [request.arm for request in requests] == ["challenger", "champion"]


def report_canary(failing: int, rows: int = 2000) -> ExperimentReport:
    """Report on a canary with a share of a quarter, one row an entity; the challenger fails on the first rows."""
    log: list[dict[str, Any]] = []
    for n in range(rows):
        row = {"arm": "challenger" if n % 4 == 0 else "champion", "entity": f"u{n}"}
        log.append(row | ({"role": "champion"} if n % 4 == 0 and n < failing else {}))
    return report(release("canary"), make_log(log))


def test_a_canary_is_checked_against_its_guards_over_all_processes() -> None:
    assert (
        report_canary(0)
        .lines[-1]
        .startswith("no guard is breached; a canary does not show whether the challenger is better")
    )
    breached = report_canary(1600)
    assert breached.breach is not None
    assert breached.breach.startswith("fallbacks: the challenger was replaced on 100.0% of the requests of an entity")
    assert "no conclusion yet" in report_canary(0, rows=100).lines[-1]


def test_arms_are_compared_anew_when_the_share_changes() -> None:
    """All rows are slow from the change on, and half of the champion's entities are new to the challenger."""
    week = dt.timedelta(days=7)
    before = [{"entity": f"u{n}", "arm": "challenger" if n % 10 == 0 else "champion"} for n in range(3000)]
    after = [
        {"entity": f"u{n}", "arm": "challenger" if n % 2 == 0 else "champion", "latency_us": 90_000}
        | {"time": NOW + week + dt.timedelta(seconds=n)}
        for n in range(3000)
    ]
    log, canary = make_log(before + after), release("canary")
    assert report(canary, log, changes=[NOW, NOW + week]).breach is None
    wrong = report(canary, log).breach
    assert wrong is not None
    assert wrong.startswith("slow: the challenger was slow on")


def test_a_shadow_is_compared_with_the_prediction_for_the_same_row() -> None:
    prediction = {"prediction": "false", "probabilities": '{"false":0.8,"true":0.2}'}
    other = {"prediction": "true", "probabilities": '{"false":0.3,"true":0.7}', "arm": "challenger", "role": "shadow"}
    rows = [{"prediction_id": f"r{n}", "label": "true", **prediction} for n in range(4)]
    rows += [{"prediction_id": f"r{n}.shadow", **other} for n in range(3)]
    result = report(release("shadow"), make_log(rows))
    assert (result.figures["rows"], result.figures["agreement"]) == (3, 0.0)
    assert result.figures["score_difference"]["mean"] == pytest.approx(0.5)
    assert result.figures["labelled"]["difference"] == pytest.approx(0.09 - 0.64)
    assert report(release("shadow"), make_log(rows[:4])).figures["rows"] == 0


@pytest.mark.filterwarnings("ignore")
def test_commands_read_the_log_that_the_service_writes(
    tmp_path: Path, packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skline.artifact import Artifact
    from skline.scoring.golden_verification import parse_rows

    project = make(tmp_path / "p")
    assert "that release has no experiment" in project.error_of("experiment", "report")
    number = project.register(packaged, "1")
    project.run("promote", number)
    test = ("--ab", "--kpi", "correct", "--entities", "100", "--approve", "a", "--reason", "an A/A test")
    test += ("--window", "2s", "--label-delay", "4s")
    project.run("promote", number, *test)
    settings = LogSettings(database=str(tmp_path / "log.db"), partitions=tmp_path / "days", batch_ms=10)
    monkeypatch.setenv("SKLINE_LOG__DATABASE", settings.database)
    monkeypatch.setenv("SKLINE_LOG__PARTITIONS", str(settings.partitions))
    artifact = Artifact.open(packaged.folder, packaged.digest)
    experiment = json.loads((project.folder / "releases/release.json").read_text())["experiment"]
    rows = parse_rows(artifact.contract, artifact.golden.rows)
    encoder, records, labels = PredictionEncoder(settings, EntityHasher(settings)), [], []
    for n in range(130):
        row = rows[n % len(rows)]
        bucket_number = bucket(experiment["salt"], experiment["name"], n)
        arm = "challenger" if bucket_number < 5000 else "champion"
        record = Prediction(
            new_prediction_id(), now_us(), artifact.version, packaged.digest, "plan", row, False,
            {"false": 0.9, "true": 0.1}, role=arm, arm=arm, experiment=experiment["name"], bucket=bucket_number,
            entity=n,
        )  # fmt: skip
        records.append(encoder.encode(record))
        labels.append(Label(prediction_id=record.prediction_id, label=n % 5 == 0))
    store = open_store(settings)
    store.write("predictions", records)
    store.close()
    LabelLog(settings, artifact.contract).append(labels)
    closed_by, figures = time.monotonic() + 30, {"labelled": {}}
    while sum(figures["labelled"].values()) < 130 and time.monotonic() < closed_by:
        output = project.run("experiment", "report", "--json", str(tmp_path / "figures.json"))
        assert "sample ratio: p = " in output
        figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["look"] == 1
    look = next(line for line in output.splitlines() if line.startswith("look 1 of 1"))
    assert len((project.folder / "releases/looks.jsonl").read_bytes().splitlines()) == 1
    LabelLog(settings, artifact.contract).append(
        [Label(prediction_id=label.prediction_id, label=not label.label) for label in labels]
    )
    assert look in project.run("experiment", "report")
    output = project.run("shadow", number)
    assert "130 rows; the same prediction on" in output
    assert "brier on 130 labelled rows" in output
    assert json.loads((project.folder / "reports/shadow.json").read_text())["skipped"] == 0
