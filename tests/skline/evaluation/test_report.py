"""The report of a regression: readable numbers, gaps between groups, and a layout that fits a phone."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import sync_playwright
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from skline.artifact import Artifact
from skline.contract.spec import Column, Contract
from skline.evaluation.report.page import render_report
from skline.release.verdict import GateResult, Verdict
from skline.settings import Settings
from skline.settings.evaluation import Evaluate
from skline.stages import evaluate
from skline.stages.part_counts import describe_parts
from skline.tuning.tune import tune
from tests.fixtures import demo

CONTRACT = Contract(
    title="Flats",
    columns=(
        Column(name="area", kind="number", example=70.0),
        Column(name="heating", kind="string", example="gas", segment=True, sensitive=True),
        Column(name="price", kind="number", role="target"),
    ),
    task="regression",
)


def flats(seed: int, count: int = 700) -> pd.DataFrame:
    """Return flats with prices of about 180,000 and more noise where the heating burns oil."""
    random = np.random.default_rng(seed)
    heating = random.choice(["gas", "oil"], count)
    area = random.gamma(9, 10, count)
    noise = random.normal(0, np.where(heating == "oil", 30_000, 3_000))
    return pd.DataFrame({"area": area, "heating": pd.array(heating, dtype="str"), "price": 2_000.0 * area + noise})


@pytest.fixture(scope="module")
def html(packaged: demo.Packaged) -> str:
    parts = {name: flats(seed) for seed, name in enumerate(("train", "validation", "test"))}
    codes = make_column_transformer((OrdinalEncoder(), ["heating"]), remainder="passthrough")
    model = make_pipeline(codes, HistGradientBoostingRegressor(max_iter=30))
    model.fit(parts["train"][CONTRACT.input_names], parts["train"]["price"])
    fitted, tuning = tune(model, parts["validation"], CONTRACT, method="auto", threshold=0.5, level=0.9, seed=1)
    result = evaluate.evaluate(
        fitted, parts["train"], parts["test"], CONTRACT,
        Evaluate(resamples=100, min_segment_rows=50, seeds=1), seed=1, tuning=tuning,
    )  # fmt: skip
    settings = Settings.load(demo.PARAMS)
    artifact = replace(Artifact.open(packaged.folder, packaged.digest), contract=CONTRACT)
    gates = (
        GateResult(gate="rows", passed=True, reason="700"),
        GateResult(gate="gap error", passed=None, reason="undecided on these rows"),
        GateResult(gate="floor r2", passed=False, reason="0.1"),
    )
    verdict = Verdict(artifact_sha256=artifact.digest, gates=gates, warnings=("R² is < 0",))
    return render_report(
        settings, artifact, verdict, None, metrics=result.metrics, details=result.details, plots=result.plots,
        lineage={"source": "flats.csv", "rows": 2_100}, parts=describe_parts(parts, CONTRACT),
    )  # fmt: skip


def test_numbers_have_thousands_separators_and_no_exponents(html: str) -> None:
    assert "e+0" not in html
    assert "Root mean" in html or "RMSE" in html
    assert "200k</text>" in html


def test_section_of_the_tuning_is_called_by_what_a_regression_has(html: str) -> None:
    interval = html.split("<h2>Prediction interval</h2>")[1].split("</section>", maxsplit=1)[0]
    assert "Each prediction has an interval" in interval
    assert "Threshold and calibration" not in html


def test_report_compares_groups_of_a_sensitive_column(html: str) -> None:
    gaps = html.split("<h2>Gaps between groups</h2>")[1].split("</section>", maxsplit=1)[0]
    assert "heating" in gaps
    assert gaps.index("oil (") < gaps.index("gas (")


def test_gates_that_cannot_tell_stand_between_those_that_failed_and_those_that_passed(html: str) -> None:
    tags = re.findall(r'<li class="(\w+)"><span class="tag">([^<]+)</span><b>', html)
    assert tags == [("no", "failed"), ("undecided", "undecided"), ("yes", "passed")]


def test_warnings_follow_the_verdict(html: str) -> None:
    header = html.split("</header>", maxsplit=1)[0]
    assert header.endswith('<span class="tag">warning</span><span>R² is &lt; 0.</span></li></ul>\n')


def test_report_fits_a_phone(html: str, tmp_path: Path) -> None:
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_path is None:
        pytest.fail("no Chromium") if os.environ.get("CI") else pytest.skip("no Chromium is installed")
    (tmp_path / "report.html").write_text(html)
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=browser_path, args=sandbox)
        tab = browser.new_page(viewport={"width": 360, "height": 800})
        tab.goto((tmp_path / "report.html").as_uri())
        for details in tab.locator("details").all():
            details.evaluate("element => element.open = true")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        browser.close()
