"""Looks of an A/B test: taken once, of entities whose value is final, and written down by one report."""

import datetime as dt
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skline.errors import SklineError
from skline.logs.records import to_us
from skline.release.experiment import Design, Experiment
from skline.release.looks import LookStore, evaluate_look, planned_entities, take_looks
from skline.release.sequential import boundaries
from skline.release.units import NEVER, Units, entity_windows, units_of

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAY_US = 86_400_000_000
DESIGN = Design(kpi="label", better="higher", units=400, looks=4)
TEST = Experiment(name="ab-2", kind="ab", salt="s", started_at=NOW, design=DESIGN)


def make_units(count: int, lift: float = 0.0, seed: int = 1) -> Units:
    """Return units of alternating arms, one of which closes each day; a few have no label."""
    rng = np.random.default_rng(seed)
    challenger = np.arange(count) % 2 == 1
    kpi = rng.normal(size=count) + lift * challenger
    kpi[rng.random(count) < 0.05] = np.nan
    return Units(challenger, to_us(NOW) + DAY_US * np.arange(count, dtype=np.int64), kpi)


def looks_after(days: int, units: Units, stored: Any = ()) -> list[Any]:
    return take_looks(DESIGN, 0.5, units, stored, to_us(NOW) + days * DAY_US)


def test_predictions_count_within_the_window_and_labels_before_the_entity_is_closed() -> None:
    design = Design(kpi="label", better="higher", units=100, window_seconds=10, label_seconds=5)
    entities = np.array([0, 1, 0, 0, 1])
    times = np.array([0, 4, 9, 10, 13]) * 1_000_000
    windows = entity_windows(design, entities, times)
    assert windows.closes_at.tolist() == [15_000_000, 19_000_000]
    assert windows.deadlines.tolist() == [15_000_000, 19_000_000, 15_000_000, NEVER, 19_000_000]
    units = units_of(
        windows, entities, np.array([True, False, True, False, True]), np.array([1, np.nan, 0, np.nan, np.nan])
    )
    assert units.challenger.tolist() == [True, False]
    assert units.kpi[0] == 0.5
    assert np.isnan(units.kpi[1])
    assert units.mixed == 2


def test_a_look_uses_the_first_closed_entities_and_what_closes_later_changes_nothing() -> None:
    units = make_units(600)
    assert looks_after(90, units) == []
    [first] = looks_after(120, units)
    assert (first.champion.entities, first.challenger.entities) == (50, 50)
    [same] = looks_after(200, units)[:1]
    assert same == first
    members = np.flatnonzero(units.labelled & units.in_arm("challenger"))[:50]
    assert first.challenger.mean == pytest.approx(units.kpi[members].mean())
    assert first.reached_at <= NOW + dt.timedelta(days=120)


def test_stored_looks_are_not_recomputed_and_a_final_one_ends_the_test() -> None:
    units = make_units(600)
    stored = looks_after(120, units)
    changed = Units(units.challenger, units.closes_at, units.kpi + 5 * units.challenger)
    new = looks_after(230, changed, stored)
    assert [look.number for look in new] == [2]
    assert new[0].verdict == "better"
    assert looks_after(600, changed, [*stored, *new]) == []
    verdicts = [look.verdict for look in looks_after(600, units)]
    assert verdicts == ["continue", "continue", "continue", "no difference shown"]


def test_the_boundary_is_that_of_students_t_at_the_same_error_probability() -> None:
    rng = np.random.default_rng(3)
    fixed = Design(kpi="label", better="higher", units=100)
    results = [
        evaluate_look(fixed, 1, rng.normal(size=8), rng.normal(size=5, scale=3), reached_at=NOW, sample_ratio=1)
        for _ in range(4_000)
    ]
    wrong = np.mean([look.verdict != "no difference shown" for look in results])
    assert wrong == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 4_000))
    assert min(look.boundary for look in results) > boundaries(1)[0]
    many = Design(kpi="label", better="higher", units=1_000, looks=20)
    first = evaluate_look(many, 1, rng.normal(size=25), rng.normal(size=25), reached_at=NOW, sample_ratio=1)
    assert boundaries(20)[0] < first.boundary < np.inf


def test_arms_that_do_not_vary_are_compared_without_a_division_by_zero() -> None:
    equal = evaluate_look(DESIGN, 1, np.ones(30), np.ones(30), reached_at=NOW, sample_ratio=1)
    assert (equal.verdict, equal.z) == ("continue", None)
    worse = evaluate_look(DESIGN, 1, np.ones(30), np.zeros(30), reached_at=NOW, sample_ratio=1)
    assert (worse.verdict, worse.interval) == ("worse", (-1, -1))


def test_planned_entities_follow_the_share() -> None:
    assert planned_entities(DESIGN, 0.1, 1) == {"champion": 90, "challenger": 10}
    assert planned_entities(DESIGN, 0.5, 4) == {"champion": 200, "challenger": 200}


def test_reports_at_the_same_time_write_each_look_once(tmp_path: Path) -> None:
    store = LookStore(tmp_path / "releases/looks.jsonl")
    variants = [looks_after(600, make_units(600, seed=seed))[:2] for seed in range(8)]
    results: list[Any] = [None] * 8

    def report(index: int) -> None:
        results[index] = store.record(TEST, variants[index], NOW)

    threads = [threading.Thread(target=report, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.path.read_bytes().splitlines()) == 2
    assert all(result == results[0] for result in results)
    assert results[0] in variants
    assert store.read(TEST) == results[0]


def test_a_line_that_a_crash_cut_off_is_skipped_and_the_look_is_written_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = LookStore(tmp_path / "looks.jsonl")
    looks = looks_after(600, make_units(600))
    store.record(TEST, looks[:2], NOW)
    store.path.write_bytes(store.path.read_bytes()[:-20])
    assert store.read(TEST) == looks[:1]
    assert "line 2 of" in caplog.text
    assert store.record(TEST, looks[1:2], NOW) == looks[:2]
    assert store.read(TEST) == looks[:2]
    assert store.read(TEST.model_copy(update={"salt": "other"})) == []


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "looks.jsonl").mkdir()
    with pytest.raises(SklineError, match=r"looks\.jsonl cannot be read"):
        LookStore(tmp_path / "looks.jsonl").record(TEST, looks_after(600, make_units(600)), NOW)


def simulate_test(rng: np.random.Generator, design: Design, effect: float) -> str:
    """Run one test with a report every second day; return its conclusion.

    500 entities come over 30 days. Each has 60 predictions in the 30 days after its first one and a rate of its own,
    Beta(3, 7), to which the challenger adds `effect`. Labels arrive 3 days after the prediction on average
    (exponential). Each report knows what was logged by then.
    """
    entities = np.repeat(np.arange(500), 60)
    offsets = rng.uniform(0, 30, size=(500, 60))
    offsets[:, 0] = 0
    days = (rng.uniform(0, 30, size=500)[:, None] + offsets).ravel()
    challenger = (rng.random(500) < 0.5)[entities]
    rates = np.clip(rng.beta(3, 7, size=500)[entities] + effect * challenger, 0, 1)
    labels = (rng.random(len(days)) < rates).astype(float)
    arrivals = ((days + rng.exponential(3, size=len(days))) * DAY_US).astype(np.int64)
    times = (days * DAY_US).astype(np.int64)
    order = np.argsort(times, kind="stable")
    entities, times, challenger, labels, arrivals = (
        column[order] for column in (entities, times, challenger, labels, arrivals)
    )
    stored: list[Any] = []
    for day in range(2, 72, 2):
        now = day * DAY_US
        known = int(np.searchsorted(times, now))
        _, codes = np.unique(entities[:known], return_inverse=True)
        windows = entity_windows(design, codes, times[:known])
        in_time = arrivals[:known] <= np.minimum(windows.deadlines, now)
        units = units_of(windows, codes, challenger[:known], np.where(in_time, labels[:known], np.nan))
        stored += take_looks(design, 0.5, units, stored, now)
        if stored and stored[-1].is_final:
            break
    return str(stored[-1].verdict) if stored else "none"


SEED = 20_260_102


@pytest.mark.slow
@pytest.mark.parametrize("looks", [1, 5])
def test_equal_arms_with_late_labels_and_60_predictions_an_entity_differ_in_at_most_6_percent(looks: int) -> None:
    design = Design(kpi="label", better="higher", units=400, looks=looks)
    verdicts = [simulate_test(np.random.default_rng([SEED, looks, test]), design, 0.0) for test in range(1_000)]
    wrong = len(verdicts) - verdicts.count("no difference shown")
    print(f"seed {SEED}, {looks} looks: {wrong} of 1,000 equal tests say better or worse")
    assert verdicts.count("none") + verdicts.count("continue") == 0
    assert wrong <= 60


@pytest.mark.slow
@pytest.mark.parametrize("looks", [1, 5])
def test_a_challenger_with_a_rate_of_36_instead_of_30_percent_is_found_in_at_least_80_percent(looks: int) -> None:
    design = Design(kpi="label", better="higher", units=400, looks=looks)
    verdicts = [simulate_test(np.random.default_rng([SEED, 9, looks, test]), design, 0.06) for test in range(200)]
    print(f"seed {SEED}, {looks} looks: {verdicts.count('better')} of 200 tests find the better challenger")
    assert verdicts.count("better") >= 160
    assert verdicts.count("worse") == 0
