"""The page of a window: what it says, that it stands alone, and that it fits a phone."""

import dataclasses
import datetime as dt
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from skline.monitoring.data_analysis import describe_drift
from skline.monitoring.data_results import Drift
from skline.monitoring.drift import adjust, category_drift, numeric_drift, quantile_drift
from skline.monitoring.job import Job
from skline.monitoring.judgement import drift_checks
from skline.monitoring.reference import SCORE, TrainingReference
from skline.monitoring.report.content import MAX_WINDOWS, PageContent, ReleaseMark, select_history
from skline.monitoring.report.page import render_page
from skline.monitoring.result import WindowResult
from skline.monitoring.run import PAGE, TEXTFILE, run
from skline.monitoring.state import FILE_NAME, STATE_VERSION, PastResult, read_state
from skline.settings.monitor import Monitor
from tests.skline.monitoring.conftest import DAY, END

NOW = END + DAY
#: The left edge of the text in a chart that begins furthest to the left, in units of its SVG.
LEFTMOST_LABEL = "Math.min(...Array.from(document.querySelectorAll('svg text')).map(each => each.getBBox().x))"


def with_columns(result: WindowResult, count: int) -> WindowResult:
    """Return a result with the drift of `count` columns, most of them numbers; the first category is markup."""
    random = np.random.default_rng(1)
    columns = [
        numeric_drift(f"number {index}", "number", random.normal(index % 3, 1, 400), random.normal(0, 1, 800))
        for index in range(count - 2)
    ]
    plans = random.choice(np.array(["<b>", "basic", *"abcdefghijklmn"], dtype=object), 400)
    columns.append(category_drift("plan & <i>", "string", plans, np.roll(plans, 1)[:200]))
    columns.append(numeric_drift("day", "date", random.normal(20_000, 9, 400), random.normal(19_000, 9, 800)))
    drift = Drift(
        reference="training", reference_rows=800, importance=0.2, columns=tuple(adjust(columns, 0.1, 0.01, 300))
    )
    return result.model_copy(update={"drift": drift})


def page_of(result: WindowResult) -> str:
    return render_page(PageContent("Demo", result, (PastResult.of(result),)))


@pytest.fixture
def result(fill: Callable[..., None], job: Job, tmp_path: Path) -> WindowResult:
    fill(END, 9, 60, labels=0.7, entities=50)
    return run(job, tmp_path, NOW)


def test_page_shows_windows_releases_and_a_state_and_fits_a_phone(
    fill: Callable[..., None], job: Job, tmp_path: Path
) -> None:
    fill(END, 16, 60, labels=0.7, entities=50)
    settings = Monitor.model_validate({"kpis": [{"name": "mean", "expression": "score"}]})
    job = dataclasses.replace(
        job, settings=settings, floors={"roc_auc": 0.99}, releases=(ReleaseMark(END - 5 * DAY, 7, "promote: demo/7"),)
    )
    for end in (END - 7 * DAY, END):
        found = run(dataclasses.replace(job, end=end), tmp_path, NOW)
    page = (tmp_path / found.window.name / PAGE).read_text()
    assert (tmp_path / PAGE).read_text() == page
    assert found.state == "alarm"
    assert '<div class="verdict no"><p><strong>Alarm</strong> ROC AUC is' in page
    assert ">7</text>" in page
    assert "promote: demo/7" in page
    assert "blind to concept drift" in page
    assert "Intervals are by entity (50 of them)" in page
    stands_alone(page)
    audit(with_columns(found, 12), tmp_path)


def stands_alone(page: str) -> None:
    assert len(page.encode()) <= 300_000
    assert not re.search(r"<script|<link|<img|src=|url\(|@import|https?://", page)


def audit(result: WindowResult, folder: Path) -> None:
    """Open a page as on a screen, a phone and paper, light and dark: nothing is too wide, and axe finds nothing."""
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_path is None:
        pytest.fail("no Chromium") if os.environ.get("CI") else pytest.skip("no Chromium is installed")
    (folder / "audit.html").write_text(page_of(result))
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=browser_path, args=sandbox)
        for width, scheme, media in ((1280, "light", "screen"), (390, "dark", "screen"), (794, "dark", "print")):
            tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
            tab.emulate_media(media=media)  # type: ignore[arg-type]
            tab.goto((folder / "audit.html").as_uri())
            for details in tab.locator("details").all():
                details.evaluate("element => element.open = true")
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert tab.evaluate(LEFTMOST_LABEL) >= 0
            found = Axe().run(tab)
            assert not found.violations_count, found.generate_report()
        browser.close()


def test_page_of_many_columns_stays_small_and_draws_the_worst_ones_only(result: WindowResult) -> None:
    page = page_of(with_columns(result, 300))
    assert len(page.encode()) < 1_000_000
    assert page.count('aria-label="Histograms of') == 6
    assert page.count("<td>yes</td>") > 100


def test_score_is_said_to_be_compared_with_the_test_part(result: WindowResult, job: Job) -> None:
    columns = with_columns(result, 3).drift
    assert columns is not None
    scores = np.random.default_rng(2).beta(2, 4, 400)
    score = quantile_drift(SCORE, scores, list(np.linspace(0, 1, 101)), 4_999, None)  # of more rows than training has
    compared = [*columns.columns, score]
    found = describe_drift("training", compared, TrainingReference.of(job.artifact), job.settings)
    assert found.reference_rows == 800
    page = page_of(result.model_copy(update={"drift": found}))
    assert "Grey bars: training (800 rows); blue" in page
    assert 'aria-label="Histograms of (score) in the test part (4,999 rows) and in the window"' in page
    assert re.search(r"<b>\(score\)</b>, KS distance [\d.]+\. Grey bars: the test part \(4,999 rows\)\.", page)
    assert ">(score), from the test part (4,999 rows)</" in page
    [check] = [each for each in drift_checks(found, job.settings) if each.subject == SCORE]
    assert check.message.startswith("the score has drifted from the test part: ")
    previous = found.model_copy(update={"reference": "previous"})
    assert "the test part (" not in page_of(result.model_copy(update={"drift": previous}))


def test_names_and_categories_are_escaped(result: WindowResult) -> None:
    page = page_of(with_columns(result, 3))
    assert "plan &amp; &lt;i&gt;" in page
    assert "&lt;b&gt;</text>" in page
    assert not re.search(r"<b></text>|plan & <i>", page)


def test_digests_that_the_log_names_are_escaped(result: WindowResult) -> None:
    quality = result.quality.model_copy(update={"by_unknown": {"<b>\x1b[2J\n": 3}, "by_version": {"<i>": 2}})
    page = page_of(result.model_copy(update={"quality": quality}))
    assert r"(&lt;b&gt;\u001b[2J\n…)" in page
    assert "2 by &lt;i&gt;" in page
    assert not re.search(r"<b>\\u|<i>|\x1b", page)


def test_page_without_rows_and_labels_says_so(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END - 60 * DAY, 1, 10)
    run(job, tmp_path, NOW)
    page = (tmp_path / PAGE).read_text()
    assert "<strong>Too few data</strong> There are too few predictions to tell (0)" in page
    assert "Of 0 predictions" in page
    assert "Nothing was compared" in page


def test_result_without_edges_is_read_and_shown(result: WindowResult) -> None:
    found = with_columns(result, 3).model_dump(mode="json")
    for column in found["drift"]["columns"]:
        del column["edges"]
    assert 'aria-label="Histograms of' in page_of(WindowResult.model_validate(found))


def test_state_of_version_1_is_read_and_written_as_the_current_one(
    result: WindowResult, job: Job, tmp_path: Path
) -> None:
    state = read_state(job.log.folder)
    old = state.model_dump(mode="json") | {"version": 1}
    for window in old["windows"]:
        for name in ("metric", "estimate", "drift"):
            del window[name]
    path = job.log.folder / FILE_NAME
    path.write_text(json.dumps(old))
    assert read_state(job.log.folder).windows[0].metric is None
    run(job, tmp_path, NOW)
    written = read_state(job.log.folder)
    assert (written.version, written.windows[0].metric) == (STATE_VERSION, "roc_auc")


def test_earlier_window_does_not_replace_the_newest_page(result: WindowResult, job: Job, tmp_path: Path) -> None:
    newest = [(tmp_path / name).read_text() for name in (PAGE, TEXTFILE)]
    earlier = run(dataclasses.replace(job, end=END - DAY), tmp_path, NOW)
    assert (tmp_path / earlier.window.name / PAGE).exists()
    assert [(tmp_path / name).read_text() for name in (PAGE, TEXTFILE)] == newest


def test_long_history_is_thinned_and_keeps_both_ends(result: WindowResult) -> None:
    newest = PastResult.of(result)
    minutes = [
        newest.model_copy(update={"end": newest.end - step * dt.timedelta(minutes=15)}) for step in range(1, 2_000)
    ]
    other = newest.model_copy(update={"length": "1d", "end": newest.end - DAY})
    later = newest.model_copy(update={"end": newest.end + DAY})
    chosen = select_history([*minutes, other, later], newest)
    assert len(chosen) == MAX_WINDOWS
    assert chosen[-1] == newest
    assert chosen[0].end < newest.end - 20 * DAY
    assert [each.end for each in chosen] == sorted(each.end for each in chosen)


def test_parts_that_were_not_computed_leave_a_page(result: WindowResult) -> None:
    nothing = {"drift": None, "performance": None, "concept": None, "estimates": (), "arms": (), "operations": None}
    page = page_of(result.model_copy(update=nothing))
    assert "The metrics could not be computed" in page
    assert "Nothing was compared: no rows in the window." in page
    assert "<h2>Estimates without labels</h2>" not in page
    assert "<h2>Operations</h2>" not in page
