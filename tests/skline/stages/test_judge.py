"""The judge stage on real artifacts: no champion, a champion, one that is not there; the page in a browser."""

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
from skline.evaluation.report import page
from skline.evaluation.verdict import Verdict
from skline.release.manifest import Arm, Release, publish
from skline.settings import Settings
from skline.settings_evaluation import Evaluate, Gates
from skline.stages import evaluate, gate, judge
from skline.stages.split import report
from skline.stages.train import train
from skline.tuning.tune import tune
from tests import demo
from tests.world.pipeline import build_pipeline

SETTINGS = Evaluate(resamples=100, min_segment_rows=100, baseline_rows=1_000, seeds=1, learning_curve=True,
                    crossings=(("carrier", "origin"),))  # fmt: skip
LIMITS = Gates(linear_margin=0.2, segment_rows=200)


@pytest.fixture(scope="module")
def found() -> evaluate.Evaluated:
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
    packaged = demo.package(paths.ARTIFACT)
    return Artifact.open(packaged.folder, packaged.digest)


def judged(artifact: Artifact, found: evaluate.Evaluated, limits: Gates = LIMITS) -> Any:
    details = json.loads(json.dumps(found.details))
    return judge.judge(artifact, demo.parts()["test"], found.metrics, details, SETTINGS, limits, seed=1)


def release(artifact: str, digest: str) -> None:
    arm = Arm(name="champion", version="flights/1", artifact=artifact, sha256=digest, weight=10_000)
    publish(paths.RELEASE, Release(number=1, published_at="2026-01-01T00:00:00Z", arms=(arm,)))


def weak(folder: Path) -> demo.Packaged:
    """A model of one small tree, and so another artifact."""
    params = {"model__max_iter": 1, "model__max_leaf_nodes": 2}
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, params, seed=1)
    return demo.package(folder, fitted)


def test_without_a_release_it_says_so(artifact: Artifact, found: evaluate.Evaluated) -> None:
    verdict, comparison = judged(artifact, found)
    assert verdict.passed, verdict.failures()
    assert comparison is None
    assert verdict.champion_sha256 is None
    assert "no champion yet" in verdict.words()


def test_a_champion_is_scored_by_its_own_artifact(artifact: Artifact, found: evaluate.Evaluated) -> None:
    champion = weak(paths.RELEASED / "old")
    release("artifacts/old", champion.digest)
    verdict, comparison = judged(artifact, found)
    assert (verdict.champion_sha256, verdict.champion_version) == (champion.digest, "flights/1")
    assert verdict.improved
    assert comparison.difference.value == pytest.approx(
        found.metrics["model"]["roc_auc"] - comparison.values["roc_auc"]
    )


def test_the_champion_itself_is_not_compared_with_itself(artifact: Artifact, found: evaluate.Evaluated) -> None:
    shutil.copytree(paths.ARTIFACT, paths.RELEASED / "same")
    release("artifacts/same", artifact.digest)
    verdict, _ = judged(artifact, found)
    assert verdict.passed
    assert verdict.improved is None
    assert "it is the champion flights/1" in verdict.words()


@pytest.mark.parametrize(
    ("place", "digest", "reason"),
    [("artifacts/gone", None, "no folder beside"), ("artifacts/old", "0" * 64, "manifest.json has sha256")],
)
def test_a_champion_that_cannot_be_asked_refuses(
    artifact: Artifact, found: evaluate.Evaluated, place: str, digest: str | None, reason: str
) -> None:
    shutil.copytree(paths.ARTIFACT, paths.RELEASED / "old")
    release(place, digest or artifact.digest)
    verdict, _ = judged(artifact, found)
    [finding] = verdict.failures()
    assert finding.gate == "champion"
    assert reason in finding.reason


def test_the_gate_lets_through_what_passed_and_nothing_else(artifact: Artifact, found: evaluate.Evaluated) -> None:
    good, _ = judged(artifact, found)
    assert gate.admit(good, artifact.digest) == artifact.digest
    with pytest.raises(SklineError, match="is on the artifact"):
        gate.admit(good, "0" * 64)
    bad, _ = judged(artifact, found, Gates(linear_margin=0.2, floors={"roc_auc": 0.99}))
    with pytest.raises(SklineError, match=r"No: 1 of \d+ gates failed \(floor roc_auc\)"):
        gate.admit(bad, artifact.digest)


def written(artifact: Artifact, found: evaluate.Evaluated, verdict: Verdict, comparison: Any) -> str:
    settings = Settings.load(demo.PARAMS)
    return page.write(
        settings, artifact, verdict, comparison, metrics=found.metrics, details=found.details, plots=found.plots,
        lineage={"source": "<b>here</b>", "rows": 5_000}, parts=report(demo.parts(), demo.contract()),
    )  # fmt: skip


@pytest.fixture
def opened(artifact: Artifact, found: evaluate.Evaluated) -> Any:
    """The page of a refused model beside a champion, in a headless Chromium; and all that it asked for."""
    browsers = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, browsers)), None)
    if browser is None:
        pytest.fail("no Chromium") if os.environ.get("CI") else pytest.skip("no Chromium is installed")
    release("artifacts/old", weak(paths.RELEASED / "old").digest)
    refused, comparison = judged(artifact, found, Gates(linear_margin=0.2, floors={"roc_auc": 0.99}))
    paths.REPORT.parent.mkdir()
    paths.REPORT.write_text(written(artifact, found, refused, comparison))
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=sandbox)

        def show(width: int) -> tuple[Page, list[str]]:
            asked: list[str] = []
            tab = chromium.new_page(viewport={"width": width, "height": 800})
            tab.on("request", lambda request: asked.append(request.url))
            tab.goto(paths.REPORT.absolute().as_uri())
            for details in tab.locator("details").all():
                details.evaluate("element => element.open = true")
            return tab, asked

        yield show
        chromium.close()


def test_the_page_is_one_file_fits_a_phone_and_can_be_read_by_all(opened: Any) -> None:
    for width in (360, 1280):
        tab, asked = opened(width)
        assert asked == [paths.REPORT.absolute().as_uri()]
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


def test_what_comes_from_data_is_text_and_never_markup(artifact: Artifact, found: evaluate.Evaluated) -> None:
    html = written(artifact, found, *judged(artifact, found))
    assert "&lt;b&gt;here&lt;/b&gt;" in html
    assert "<script" not in html
    assert not re.search(r"\b(src|href)\s*=", html)
