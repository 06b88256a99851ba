"""Tests of the stages assess and gate on real artifacts, and of the report in a browser."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

from skline import paths
from skline.artifact import Artifact
from skline.errors import SklineError
from skline.evaluation.report.page import render_report
from skline.release.manifest import Arm, Release, publish_manifest
from skline.release.verdict import Verdict
from skline.settings import Settings
from skline.settings.evaluation import Evaluate, Gates
from skline.stages import assess, evaluate, gate
from skline.stages.split import describe_parts
from skline.stages.train import train
from skline.tuning.tune import tune
from tests.fixtures import demo
from tests.fixtures.sample_project.pipeline import build_pipeline

SETTINGS = Evaluate(resamples=100, min_segment_rows=100, baseline_rows=1_000, seeds=1, learning_curve=True,
                    crossings=(("carrier", "origin"),))  # fmt: skip
LIMITS = Gates(linear_margin=0.2, segment_rows=200)


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


def assess_artifact(artifact: Artifact, evaluated: evaluate.Evaluated, limits: Gates = LIMITS) -> Any:
    details = json.loads(json.dumps(evaluated.details))
    return assess.assess(artifact, demo.parts()["test"], evaluated.metrics, details, SETTINGS, limits, seed=1)


def release(artifact: str, digest: str) -> None:
    arm = Arm(name="champion", version="flights/1", artifact=artifact, sha256=digest, weight=10_000)
    publish_manifest(paths.RELEASE, Release(number=1, published_at="2026-01-01T00:00:00Z", arms=(arm,)))


def package_weak_model(folder: Path) -> demo.Packaged:
    """A model of one small tree, and so another artifact."""
    params = {"model__max_iter": 1, "model__max_leaf_nodes": 2}
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, params, seed=1)
    return demo.package(folder, fitted)


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


@pytest.mark.parametrize(
    ("place", "digest", "reason"),
    [("artifacts/gone", None, "is not a folder next to"), ("artifacts/old", "0" * 64, "manifest.json has sha256")],
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
    with pytest.raises(SklineError, match=r"No: 1 of \d+ gates failed \(floor roc_auc\)"):
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
