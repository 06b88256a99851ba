"""Tests of the stages assess and gate on real artifacts, and of the report in a browser."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

from skline import paths
from skline.artifact import Artifact
from skline.errors import SklineError
from skline.evaluation.report.page import render_report
from skline.evaluation.runtime_costs import Costs
from skline.release.manifest import Arm, Release, publish_manifest
from skline.release.verdict import Verdict
from skline.scoring.golden_rows import choose_golden_rows
from skline.settings import Settings
from skline.settings.evaluation import Evaluate, Gates
from skline.split_rule import PartitionRule, Split
from skline.stages import assess, evaluate, gate
from skline.stages.part_counts import describe_parts
from skline.stages.train import train
from skline.tuning.tune import tune
from tests.fixtures import demo
from tests.fixtures.sample_project.pipeline import build_pipeline

SETTINGS = Evaluate(resamples=100, min_segment_rows=100, baseline_rows=1_000, seeds=1, learning_curve=True,
                    crossings=(("carrier", "origin"),))  # fmt: skip
LIMITS = Gates(linear_margin=0.2, segment_rows=200)
BATCH_ROWS = 5_000
COSTS = Costs(latency_ms=1, latency_low_ms=0.9, latency_high_ms=1.1, artifact_mb=2, memory_mb=30)


@pytest.fixture(scope="module")
def evaluated() -> evaluate.Evaluated:
    parts = demo.parts()
    _, tuning = tune(
        demo.pipeline(), parts["validation"], demo.contract(), method="off", threshold=0.5, level=0.9, seed=1
    )
    return evaluate.evaluate(
        demo.pipeline(), parts["train"], parts["test"], demo.contract(), SETTINGS, seed=1, tuning=tuning
    )


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    monkeypatch.chdir(tmp_path)
    packaged = demo.package(paths.CANDIDATE)
    return Artifact.open(packaged.folder, packaged.digest)


def validated_batches(names: Sequence[str] | None) -> Iterator[pd.DataFrame]:
    rows = demo.validated() if names is None else demo.validated()[list(names)]
    for start in range(0, len(rows), BATCH_ROWS):
        yield rows.iloc[start : start + BATCH_ROWS].reset_index(drop=True)


def assess_artifact(artifact: Artifact, evaluated: evaluate.Evaluated, limits: Gates = LIMITS) -> Any:
    details = json.loads(json.dumps(evaluated.details))
    return assess.assess(artifact, validated_batches, evaluated.metrics, details, {}, COSTS, SETTINGS, limits, seed=1)


def release(artifact: str, digest: str) -> None:
    arm = Arm(name="champion", version="flights/1", artifact=artifact, sha256=digest, weight=10_000)
    publish_manifest(paths.RELEASE, Release(number=1, published_at="2026-01-01T00:00:00Z", arms=(arm,)))


def package_weak_model(folder: Path, partition: PartitionRule | None = None) -> demo.Packaged:
    """A model of one small tree, and so another artifact."""
    params = {"model__max_iter": 1, "model__max_leaf_nodes": 2}
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, params, seed=1)
    return demo.package(folder, fitted, partition=partition)


def test_verdict_without_a_release_has_no_champion(artifact: Artifact, evaluated: evaluate.Evaluated) -> None:
    verdict, comparison = assess_artifact(artifact, evaluated)
    assert verdict.passed, verdict.failed_gates
    assert comparison is None
    assert verdict.champion_sha256 is None
    assert "no champion yet" in verdict.summary()


def test_champion_is_scored_by_its_own_artifact(artifact: Artifact, evaluated: evaluate.Evaluated) -> None:
    champion = package_weak_model(paths.RELEASED / "old")
    release("artifacts/old", champion.digest)
    verdict, comparison = assess_artifact(artifact, evaluated)
    assert (verdict.champion_sha256, verdict.champion_version) == (champion.digest, "flights/1")
    assert verdict.improved
    assert comparison.difference.value == pytest.approx(
        evaluated.metrics["model"]["roc_auc"] - comparison.values["roc_auc"]
    )


def test_champion_is_not_compared_with_itself(artifact: Artifact, evaluated: evaluate.Evaluated) -> None:
    shutil.copytree(paths.CANDIDATE, paths.RELEASED / "same")
    release("artifacts/same", artifact.digest)
    verdict, _ = assess_artifact(artifact, evaluated)
    assert verdict.passed
    assert verdict.improved is None
    assert "it is the champion flights/1" in verdict.summary()


def time_split(validation: str, test: str) -> PartitionRule:
    cuts = {"validation_from": validation, "test_from": test, "live_from": "2013-11-01"}
    return PartitionRule(split=Split.model_validate({"kind": "time"} | cuts))


def champion_gate(verdict: Verdict) -> Any:
    [result] = [gate for gate in verdict.gates if gate.gate == "champion"]
    return result


def test_champion_is_compared_only_on_rows_that_it_was_not_fitted_on(
    artifact: Artifact, evaluated: evaluate.Evaluated
) -> None:
    """The champion's test part began on 1 October, the candidate's begins on 1 September."""
    champion = package_weak_model(paths.RELEASED / "old", time_split("2013-09-15", "2013-10-01"))
    release("artifacts/old", champion.digest)
    verdict, comparison = assess_artifact(artifact, evaluated)
    test = demo.parts()["test"]
    late = int((test["departed_at"] >= "2013-10-01").sum())
    assert 0 < late < len(test)
    assert comparison.difference.rows == late
    compared = f"{late:,} of {len(test):,} test rows: the champion was fitted on {len(test) - late:,}"
    assert compared in champion_gate(verdict).reason
    assert compared in report_html(artifact, evaluated, verdict, comparison)


def test_too_few_rows_that_the_champion_was_not_fitted_on_stop_only_a_model_that_must_be_better(
    artifact: Artifact, evaluated: evaluate.Evaluated
) -> None:
    champion = package_weak_model(paths.RELEASED / "old", time_split("2013-10-01", "2013-10-31"))
    release("artifacts/old", champion.digest)
    verdict, comparison = assess_artifact(artifact, evaluated)
    assert (verdict.passed, verdict.champion_sha256, verdict.improved) == (True, champion.digest, None)
    assert champion_gate(verdict).passed is None
    assert "test rows: the champion was fitted on" in champion_gate(verdict).reason
    assert verdict.summary().endswith("it was not compared with the champion flights/1.")
    assert "Not compared with flights/1: only" in report_html(artifact, evaluated, verdict, comparison)
    strict = LIMITS.model_copy(update={"champion": LIMITS.champion.model_copy(update={"require": "better"})})
    verdict, _ = assess_artifact(artifact, evaluated, strict)
    assert [gate.gate for gate in verdict.failed_gates] == ["champion"]


def test_champion_that_read_a_number_as_text_cannot_be_compared(
    artifact: Artifact, evaluated: evaluate.Evaluated
) -> None:
    contract = demo.contract()
    changes = {"kind": "string", "feature_group": "category", "example": "515", "minimum": None, "maximum": None}
    columns = tuple(
        column.model_copy(update=changes if column.name == "sched_dep_time" else {}) for column in contract.columns
    )
    text = contract.model_copy(update={"columns": columns})
    train_rows = demo.parts()["train"].astype({"sched_dep_time": "str"})
    fitted = train(train_rows, text, build_pipeline, {"model__max_iter": 1}, seed=1)
    golden = choose_golden_rows(train_rows, train_rows, text, 10, seed=17)
    champion = demo.package(paths.RELEASED / "old", fitted, text, golden)
    release("artifacts/old", champion.digest)
    verdict, _ = assess_artifact(artifact, evaluated)
    assert champion_gate(verdict).passed is None
    assert "(sched_dep_time is string there and integer here)" in champion_gate(verdict).reason


@pytest.mark.parametrize(
    ("place", "digest", "reason"),
    [("artifacts/gone", None, "artifacts/gone is missing"), ("artifacts/old", "0" * 64, "manifest.json has sha256")],
)
def test_champion_that_cannot_be_opened_fails_its_gate(
    artifact: Artifact, evaluated: evaluate.Evaluated, place: str, digest: str | None, reason: str
) -> None:
    shutil.copytree(paths.CANDIDATE, paths.RELEASED / "old")
    release(place, digest or artifact.digest)
    verdict, _ = assess_artifact(artifact, evaluated)
    [failed] = verdict.failed_gates
    assert failed.gate == "champion"
    assert reason in failed.reason


def test_gate_admits_only_the_artifact_that_passed(artifact: Artifact, evaluated: evaluate.Evaluated) -> None:
    good, _ = assess_artifact(artifact, evaluated)
    assert gate.admit(good, artifact.digest) == artifact.digest
    with pytest.raises(SklineError, match="is about artifact"):
        gate.admit(good, "0" * 64)
    bad, _ = assess_artifact(artifact, evaluated, Gates(linear_margin=0.2, floors={"roc_auc": 0.99}))
    with pytest.raises(SklineError, match=r"Must not be released: 1 of \d+ gates failed \(floor roc_auc\)"):
        gate.admit(bad, artifact.digest)


def report_html(artifact: Artifact, evaluated: evaluate.Evaluated, verdict: Verdict, comparison: Any) -> str:
    settings = Settings.load(demo.PARAMS)
    return render_report(
        settings, artifact, verdict, comparison, metrics=evaluated.metrics, details=evaluated.details,
        plots=evaluated.plots,
        lineage={"source": "<b>here</b>", "rows": 5_000}, parts=describe_parts(demo.parts(), demo.contract()),
    )  # fmt: skip


@pytest.fixture
def open_report(artifact: Artifact, evaluated: evaluate.Evaluated) -> Any:
    """Opens the report of a rejected model in a headless Chromium; returns the tab and the URLs that it requested."""
    browsers = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, browsers)), None)
    if browser is None:
        pytest.fail("no Chromium") if os.environ.get("CI") else pytest.skip("no Chromium is installed")
    release("artifacts/old", package_weak_model(paths.RELEASED / "old").digest)
    rejected, comparison = assess_artifact(artifact, evaluated, Gates(linear_margin=0.2, floors={"roc_auc": 0.99}))
    paths.REPORT.parent.mkdir()
    paths.REPORT.write_text(report_html(artifact, evaluated, rejected, comparison))
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=sandbox)

        def show(width: int) -> tuple[Page, list[str]]:
            requested: list[str] = []
            tab = chromium.new_page(viewport={"width": width, "height": 800})
            tab.on("request", lambda request: requested.append(request.url))
            tab.goto(paths.REPORT.absolute().as_uri())
            for details in tab.locator("details").all():
                details.evaluate("element => element.open = true")
            return tab, requested

        yield show
        chromium.close()


def test_report_is_one_accessible_file_that_fits_a_phone(open_report: Any) -> None:
    for width in (360, 1280):
        tab, requested = open_report(width)
        assert requested == [paths.REPORT.absolute().as_uri()]
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        checked = Axe().run(tab)
        assert checked.violations_count == 0, checked.generate_report()
    assert len(paths.REPORT.read_bytes()) < 500_000
    order = [heading.inner_text() for heading in tab.locator("h2").all()]
    assert order[:4] == ["Gates", "Quality on the test part", "Curves", "Threshold and calibration"]
    assert tab.locator(".verdict").inner_text().startswith("Must not be released")
    assert tab.locator("li.no").count() == 1
    assert {"By carrier", "By origin", "By month", "By carrier × origin"} <= {
        heading.inner_text() for heading in tab.locator("h3").all()
    }
    assert tab.locator("svg[role=img]").count() == 4


def test_report_escapes_values_from_data(artifact: Artifact, evaluated: evaluate.Evaluated) -> None:
    html = report_html(artifact, evaluated, *assess_artifact(artifact, evaluated))
    assert "&lt;b&gt;here&lt;/b&gt;" in html
    assert "<script" not in html
    assert not re.search(r"\b(src|href)\s*=", html)
