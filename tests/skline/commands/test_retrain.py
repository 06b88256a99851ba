"""`skline retrain` decides, writes every decision to the journal, and a person holds it and resumes it."""

import datetime as dt
from pathlib import Path

import pytest

from skline import cli, paths
from skline.commands._retrain_promotion import plan_promotion, release_version
from skline.errors import SklineError
from skline.locks import file_lock
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.release.assessment import RejectedSince
from skline.release.manifest import Arm, Release, publish_manifest
from skline.release.promotion import PromotionPlan
from skline.release.verdict import GateResult, Verdict
from skline.retraining.journal import FILE_NAME, Training, read_journal
from skline.retraining.training import TrainingResult
from skline.settings import Retrain, Settings
from tests.fixtures import demo
from tests.skline.retraining.conftest import DAY, label, prediction

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
INPUTS = {
    "flight_date": "2013-07-04", "carrier": "UA", "origin": "EWR", "dest": "IAH", "distance": 1400,
    "sched_dep_time": 515, "sched_arr_time": 819,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project that has served 600 predictions with labels the current folder; return the folder of its log."""
    packaged = demo.package(tmp_path / "artifact")
    (tmp_path / "artifact.sha256").write_text(packaged.digest + "\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "params.yaml").write_text(demo.PARAMS.read_text() + "retrain: {new_labels: 600}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKLINE_LOG__DATABASE", "logs/predictions.db")
    monkeypatch.setenv("SKLINE_LOG__PARTITIONS", "logs/predictions")
    log = LogSettings.from_environment()
    store = open_store(log)
    store.write("predictions", [prediction(str(number), NOW - 5 * DAY, inputs=INPUTS) for number in range(600)])
    store.write("labels", [label(str(number), NOW - 4 * DAY) for number in range(600)])
    store.close()
    return log.folder


def retrain(*arguments: str) -> None:
    parsed = cli.parser().parse_args(("retrain", *arguments))
    parsed.run(parsed)


def test_decision_is_written_whatever_it_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    retrain("--dry-run", "--asof", "2026-05-28")
    assert capsys.readouterr().out.startswith("Do not train: there is no reason (and there are 0 matured labels")
    retrain("--dry-run", "--asof", "2026-06-01")
    assert capsys.readouterr().out == "Train: there are 600 matured labels since the last training.\n"
    entries = read_journal(folder).entries
    assert [(each.dry_run, each.decision.retrain) for each in entries if each.decision] == [(True, False), (True, True)]
    assert entries[1].evidence is not None
    assert entries[1].evidence.new_labels == 600
    retrain("history")
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_labels_that_no_training_can_learn_from_are_an_error_before_anything_runs(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("model.source.prepare_feedback")
    fault = (
        r"none of 600 labelled predictions keeps the contract: month must not be missing: 600 rows\. prepare_feedback"
    )
    for option in ("--dry-run", "--reason=a person asks"):
        with pytest.raises(SklineError, match=fault):
            retrain(option, "--asof", "2026-06-01")
        assert capsys.readouterr().out.startswith("Do not train, although ")
    retrain("--dry-run", "--asof", "2026-05-28")
    assert "keeps the contract" not in capsys.readouterr().out, "no label has matured"
    decisions = [each.decision for each in read_journal(folder).entries]
    assert [[blocker.kind for blocker in each.blockers] for each in decisions if each] == [["contract"]] * 2 + [
        ["labels"]
    ]


def test_hold_stops_it_until_a_person_resumes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    retrain("hold", "--until", "2099-01-01", "--reason", "audit")
    retrain("--dry-run", "--reason", "the table was corrected")
    assert "put it on hold until 2099-01-01 00:00 (audit)" in capsys.readouterr().out
    retrain("resume")
    retrain("--dry-run", "--reason", "the table was corrected")
    assert "Train: a person asks for it (the table was corrected)" in capsys.readouterr().out
    with pytest.raises(SklineError, match="there is no hold"):
        retrain("resume")


def test_entry_is_one_line_of_the_history(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    retrain("hold", "--until", "2099-01-01", "--reason", "audit\x1b[2J\nforged")
    capsys.readouterr()
    retrain("history")
    assert capsys.readouterr().out.endswith(r"no training before 2099-01-01 00:00 (audit\u001b[2J\nforged)" + "\n")


def test_half_line_of_the_journal_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / FILE_NAME).write_text('{"format":1,"kind":"hold","ti')
    retrain("--dry-run", "--asof", "2026-06-01")
    assert capsys.readouterr().out.startswith("note: unreadable lines: 1: a hold in one of them is not known\nTrain: ")


def test_another_retraining_is_a_blocker(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with file_lock(folder / ".retrain.lock", "busy"):
        retrain("--dry-run", "--asof", "2026-06-01")
    assert "another process is retraining" in capsys.readouterr().out
    assert len(read_journal(folder).entries) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hold", "--until", "2099-01-01"), "a hold needs --reason"),
        (("hold", "--until", "2020-01-01", "--reason", "audit"), "--until 2020-01-01 00:00 is in the past"),
        (("hold", "--reason", "audit"), "needs --until"),
        (("--until", "2099-01-01"), "needs --until TIME, and nothing else takes it"),
        (("--reason", " "), "--reason is empty"),
        (("history", "--dry-run"), "--dry-run is for the decision"),
        (("--asof", "2099-01-01"), "--asof 2099-01-01 00:00 is in the future"),
        (("hold", "--asof", "2099-01-01", "--until", "2099-02-01", "--reason", "audit"), "is in the future"),
    ],
)
def test_options_that_do_not_belong_together_are_rejected(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(SklineError, match=message):
        retrain(*arguments)


def result(*, passed: bool | None) -> TrainingResult:
    """Return a training with a version, and a verdict with one gate that passed and another one."""
    gates = (GateResult(gate="floor", passed=True, reason=""), GateResult(gate="champion", passed=passed, reason=""))
    training = Training(outcome="registered", labels_until=NOW, artifact_sha256="d" * 64, version="flights/4")
    return TrainingResult(training, Verdict(artifact_sha256="d" * 64, champion_sha256="c" * 64, gates=gates))


@pytest.mark.parametrize(
    ("passed", "served", "planned"),
    [(True, None, "canary"), (True, "c", "canary"), (True, "d", None), (None, None, None)],
)
def test_version_is_to_be_promoted_if_every_gate_passed_and_it_is_not_in_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: bool | None, served: str | None, planned: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    if served is not None:
        arm = Arm(name="champion", version="flights/3", artifact="artifacts/x", sha256=served * 64, weight=10_000)
        publish_manifest(paths.RELEASE, Release(number=1, published_at=NOW, arms=(arm,)))
    settings = Settings.load(demo.PARAMS)
    canary = settings.model_copy(update={"retrain": Retrain(auto_promote="canary")})
    assert plan_promotion(canary, result(passed=passed)).promotion == planned
    assert plan_promotion(settings, result(passed=passed)).promotion is None, "never"
    approved = canary.model_copy(update={"release": canary.release.model_copy(update={"approval": "required"})})
    assert plan_promotion(approved, result(passed=passed)).promotion is None, "a person has to approve it"


def test_version_that_a_newer_assessment_rejects_waits_for_a_person(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def publish(*_: object, **__: object) -> None:
        raise RejectedSince("flights/4 fails its gates in the newest assessment")

    monkeypatch.setattr("skline.commands.promote.publish", publish)
    assert not release_version(
        Settings.load(demo.PARAMS), result(passed=True).training, PromotionPlan(), "labels", None
    )  # fmt: skip
    assert "flights/4 is not promoted yet: flights/4 fails its gates" in capsys.readouterr().out
