"""The page of a replay is one file without scripts; it says the result first, and has a chart for each policy."""

import datetime as dt
import re

import pytest

from skline.monitoring.estimates import Estimate
from skline.retraining.replay.outcome import Alarm, Period, PolicyOutcome, ReplayResult, Training
from skline.retraining.replay.report import comparison, headline, render_report, text_table

START = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
WEEK = dt.timedelta(days=7)


def policy(name: str, *values: float | None, gain: float | None = None, trainings: int = 0) -> PolicyOutcome:
    return PolicyOutcome(
        name=name,
        description=f"What <{name}> is.",
        periods=tuple(
            Period(
                start=START + number * WEEK, end=START + (number + 1) * WEEK, rows=100, labels=100, model="1",
                metric=Estimate() if value is None else Estimate(value=value, low=value - 0.02, high=value + 0.02),
            )
            for number, value in enumerate(values)
        ),
        trainings=tuple(
            Training(time=START + WEEK, reason="<b>why</b>", outcome="promoted" if number == 0 else "rejected")
            for number in range(trainings)
        ),
        alarms=(
            Alarm(time=START + WEEK, parts=("performance",), is_true=True),
            Alarm(time=START + WEEK, parts=("drift",), is_true=False),
        ),
        mean=Estimate(value=0.5, low=0.49, high=0.51),
        gain=Estimate() if gain is None else Estimate(value=gain, low=gain - 0.01, high=gain + 0.01),
    )  # fmt: skip


@pytest.fixture
def result() -> ReplayResult:
    return ReplayResult(
        project="demo", title="Late & early", start=START, end=START + 3 * WEEK, metric="log_loss", better="lower",
        label_delay=dt.timedelta(days=1), requests=300, failed_requests=0,
        live=policy("policy", 0.4, 0.6, 0.5, trainings=2),
        compared=(
            policy("never", 0.4, None, 0.7, gain=-0.1), policy("monthly", 0.4, 0.6, 0.5, gain=0.0, trainings=1),
            policy("weekly", 0.4, 0.5, 0.4, gain=0.1, trainings=3),
        ),
    )  # fmt: skip


def test_headline_says_what_the_policy_is_better_and_worse_than(result: ReplayResult) -> None:
    text = headline(result)
    assert text.startswith("policy: mean log loss 0.5000 (0.4900 to 0.5100) with 2 trainings, 1 of them promoted.")
    assert "better than never (0 trainings)" in text
    assert "worse than weekly (3 trainings)" in text
    assert "not shown to differ from monthly (1 training)" in text
    assert comparison(Estimate(value=0.1)) == "not compared with"


def test_page_is_self_contained_and_small_and_escapes_what_it_shows(result: ReplayResult) -> None:
    page = render_report(result)
    assert len(page.encode()) < 300_000
    assert "<script" not in page
    assert not re.search(r"(src|href)=", page)
    assert "Late &amp; early" in page
    assert "<b>why</b>" not in page
    assert "What <never> is." not in page
    assert page.index("mean log loss") < page.index("<svg")
    assert page.count("<svg") == len(result.policies)
    assert "300 requests to the service, 0 of them failed" in page


def test_rows_of_a_training_are_shown_if_they_are_known(result: ReplayResult) -> None:
    def cells(rows: int | None) -> list[str]:
        trainings = (Training(time=START, reason="r", outcome="promoted", rows=rows),)
        policies = [each.model_copy(update={"trainings": ()}) for each in result.compared]
        live = policy("policy", 0.4).model_copy(update={"trainings": trainings})
        page = render_report(result.model_copy(update={"live": live, "compared": tuple(policies)}))
        return re.findall(r'<td class="n">([^<]*)</td><td>r</td>', page)

    assert (cells(1_234), cells(None)) == (["1,234"], [""])


def test_trainings_and_alarms_are_marked(result: ReplayResult) -> None:
    page = render_report(result)
    assert page.count('fill="var(--orange)" stroke') == 3, "promoted"
    assert page.count('fill="var(--paper)" stroke') == 3, "rejected"
    assert page.count('stroke="var(--red)" stroke-width="3"') == len(result.policies)


def test_terminal_has_an_aligned_row_for_each_policy(result: ReplayResult) -> None:
    lines = text_table(result).splitlines()
    assert lines[0] == headline(result)
    assert [line.split()[0] for line in lines[3:]] == ["policy", "never", "monthly", "weekly"]
    starts = {line.index("0.5000") for line in lines[3:]}
    assert len(starts) == 1
