"""Tests of the choice of the estimator: the one that predicts held-out rows best is written, and the table says why."""

import importlib.util
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skline.contract.spec import Column, Contract, Task
from skline.errors import SklineError
from skline.init.codegen.estimators import Estimator, TargetSummary
from skline.init.estimator_choice import (
    MAX_FOREST_ROWS,
    TIME_FOLDS,
    Candidate,
    choose_estimator,
    corrected_error,
    describe,
    describe_trends,
    list_candidates,
    make_folds,
    requested_family,
    trending,
)

RANDOM: dict[str, Any] = {"kind": "random", "validation": 0.15, "test": 0.2}
TIME: dict[str, Any] = {"kind": "time"}


def contract_of(rows: pd.DataFrame, task: Task = "regression") -> Contract:
    columns = [
        Column(name=name, kind="number", feature_group="number") for name in rows.columns if name not in ("y", "at")
    ]
    if "at" in rows:
        columns.append(Column(name="at", kind="datetime", role="time"))
    kind, classes = ("number", None) if task == "regression" else ("boolean", (False, True))
    target = Column(name="y", kind=kind, role="target")  # type: ignore[arg-type]
    return Contract(title="t", task=task, columns=(*columns, target), classes=classes)


def linear_rows(n: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 6))).add_prefix("x")
    return X.assign(y=X.sum(axis=1) + rng.normal(size=n))


def test_a_linear_relation_gets_a_linear_model() -> None:
    rows = linear_rows()
    choice = choose_estimator(rows, contract_of(rows), RANDOM, seconds=60)
    assert choice.estimator.family == "linear"
    head, best, *others = choice.lines
    assert head.startswith("estimator: linear, the lowest mean RMSE on 5 folds of 300 training rows")
    assert best.split()[0] == "linear"
    assert [line.split()[0] for line in others].count("boosting,") == 2
    assert all("±" in line for line in others)


def test_an_interaction_gets_trees() -> None:
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.uniform(-1, 1, size=(600, 4))).add_prefix("x")
    rows = X.assign(y=np.sign(X["x0"]) * np.sign(X["x1"]) > 0)
    assert choose_estimator(rows, contract_of(rows, "binary"), RANDOM, seconds=60).estimator.family != "linear"


def test_nothing_is_compared_without_seconds_or_with_few_rows() -> None:
    rows = linear_rows()
    without = choose_estimator(rows, contract_of(rows), RANDOM, seconds=0)
    assert without.lines == ("estimator: boosting, small trees (not compared)",)
    few = choose_estimator(rows[:40], contract_of(rows), RANDOM, seconds=60)
    assert few.lines == ("estimator: boosting, small trees (not compared: the training part has 40 rows)",)


def test_a_comparison_that_does_not_end_is_said_to(capsys: pytest.CaptureFixture[str]) -> None:
    rows = linear_rows()
    choose_estimator(rows, contract_of(rows), RANDOM, seconds=1e-9, family="linear")
    assert capsys.readouterr().err == "comparing 1 estimator on 5 folds; no fit starts after 1e-09 s …\n"
    choice = choose_estimator(rows, contract_of(rows), RANDOM, seconds=1e-9)
    assert capsys.readouterr().err == "comparing 4 estimators on 5 folds; no fit starts after 1e-09 s …\n"
    [line] = choice.lines
    assert line.startswith(
        "estimator: boosting, small trees (the comparison did not end within 1e-09 seconds; --seconds"
    )


def test_only_settings_of_the_requested_estimator_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = linear_rows(120)
    summary = TargetSummary(rows=120, skewed=True)
    candidates = list_candidates(contract_of(rows), summary, by_time=False, trends=(), family="lightgbm")
    assert [candidate.estimator.describe() for candidate in candidates] == [
        "lightgbm, small trees, Poisson loss",
        "lightgbm, early stopping, Poisson loss",
        "lightgbm, small trees",
        "lightgbm, early stopping",
    ]
    forest = list_candidates(contract_of(rows), summary, by_time=False, trends=(), family="forest")
    assert [candidate.estimator.family for candidate in forest] == ["forest"]
    assert requested_family("random_forest") == "forest"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SklineError, match="xgboost: the library is not installed; run `uv add xgboost-cpu`"):
        requested_family("xgboost")


def test_an_estimator_that_cannot_be_fitted_is_listed_with_its_reason() -> None:
    rows = linear_rows(200)
    rows["x0"] = 1e300 * rows["x0"]  # beyond the 32 bits of a forest
    lines = choose_estimator(rows, contract_of(rows), RANDOM, seconds=60).lines
    assert any(line.split()[:2] == ["forest", "failed:"] and "too large" in line for line in lines)


def time_rows(n: int = 900) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    at = pd.Timestamp("2015-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 2000, n)), unit="D")
    x = rng.normal(size=n)
    year = at.year.to_numpy(dtype=np.float64)
    return pd.DataFrame(
        {"x": x, "year": year, "noise": rng.normal(size=n), "at": at, "y": x + 0.01 * rng.normal(size=n)}
    )


def test_functions_of_time_are_recognised() -> None:
    rows = time_rows().assign(
        counter=lambda table: np.arange(len(table), dtype=np.float64)[::-1],
        grown=lambda table: np.arange(len(table)) + np.random.default_rng(3).normal(0, 60, len(table)),
        month=lambda table: table["at"].dt.month.astype("float64"),
    )
    assert trending(rows, contract_of(rows)) == ("year", "counter", "grown")


def test_trends_are_excluded_where_later_rows_are_predicted_better_without() -> None:
    rng = np.random.default_rng(4)
    rows = time_rows()
    level = rng.normal(size=12)  # each year has its own level, which says nothing about the next year
    rows["y"] = 3 * np.sin(2 * rows["x"]) + level[(rows["year"] - 2015).astype(int)]
    assert choose_estimator(rows, contract_of(rows), TIME, seconds=60).excluded == ("year",)


def test_a_linear_trend_is_kept_by_a_model_that_extrapolates_it() -> None:
    rows = time_rows()
    rows["y"] = rows["x"] + 5 * (rows["year"] - 2015)
    choice = choose_estimator(rows, contract_of(rows), TIME, seconds=60)
    assert choice.estimator.family == "linear"
    assert choice.excluded == ()


def test_folds_of_a_split_by_time_test_only_later_rows() -> None:
    rows = time_rows()
    folds = make_folds(rows, contract_of(rows), "time")
    assert len(folds) == TIME_FOLDS
    assert all(rows["at"].iloc[train].max() <= rows["at"].iloc[test].min() for train, test in folds)


def test_folds_of_a_split_by_group_keep_groups_whole() -> None:
    rows = linear_rows().assign(owner=lambda table: table.index % 40)
    contract = contract_of(rows.drop(columns="owner"))
    group = Column(name="owner", kind="integer", role="group")
    folds = make_folds(rows, contract.model_copy(update={"columns": (*contract.columns, group)}), "group")
    assert all(not set(rows["owner"].iloc[train]) & set(rows["owner"].iloc[test]) for train, test in folds)


def test_a_large_table_is_not_tried_with_a_forest() -> None:
    contract = contract_of(linear_rows())
    families = [
        {one.estimator.family for one in list_candidates(contract, TargetSummary(rows), by_time=False, trends=())}
        for rows in (MAX_FOREST_ROWS, MAX_FOREST_ROWS + 1)
    ]
    assert families == [{"boosting", "linear", "forest"}, {"boosting", "linear"}]


def test_the_standard_error_is_that_of_nadeau_and_bengio() -> None:
    assert corrected_error(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 1 / 5) == pytest.approx(np.sqrt((1 / 5 + 1 / 4) * 2.5))
    assert np.isnan(corrected_error(np.array([1.0]), 1 / 5))


def test_rows_without_a_group_are_groups_of_their_own() -> None:
    rows = linear_rows().assign(owner=lambda table: (table.index % 40).astype("float64"))
    rows.loc[:20, "owner"] = np.nan
    contract = contract_of(rows.drop(columns="owner"))
    group = Column(name="owner", kind="integer", role="group", nullable=True)
    grouped = contract.model_copy(update={"columns": (*contract.columns, group)})
    for train, test in make_folds(rows, grouped, "group"):
        known = set(rows["owner"].iloc[train].dropna())
        assert not known & set(rows["owner"].iloc[test].dropna())
    alone = rows.assign(owner=1.0)
    [line] = choose_estimator(alone, grouped, {"kind": "group"}, seconds=60).lines
    assert line == "estimator: boosting, small trees (not compared: the training part has 300 rows of 1 group)"


def test_if_no_estimator_can_be_fitted_the_default_is_taken_and_the_reasons_are_listed() -> None:
    rows = linear_rows().assign(y=np.nan)
    head, *lines = choose_estimator(rows, contract_of(rows), RANDOM, seconds=60).lines
    assert head == "estimator: boosting, small trees (no estimator could be compared)"
    assert all("failed" in line for line in lines)


def test_figures_are_in_one_column_however_long_the_names() -> None:
    names = [Estimator("linear"), Estimator(early_stopping=True, days=False)]
    lines = describe([Candidate(name, losses=[0.55]) for name in names], Candidate(names[0], losses=[0.5]))
    assert [line.index("0.5500") for line in lines] == [lines[0].index("0.5500")] * 2


def test_inputs_that_follow_time_are_named() -> None:
    target = Column(name="y", kind="number", role="target")
    columns = (Column(name="day", kind="date"), Column(name="year", kind="integer"), target)
    contract = Contract(title="", columns=columns, task="regression")
    assert "trends: year, the number of the day of day; later" in describe_trends(("year",), contract)


def test_a_difference_on_one_fold_has_no_error() -> None:
    best, other = Candidate(Estimator("linear"), losses=[1.0]), Candidate(Estimator("forest"), losses=[1.5])
    assert describe([other, best], best)[1].endswith(" +0.5")
    best.losses, other.losses = [1.0, 2.0], [1.5, 2.6]
    assert " ± " in describe([other, best], best)[1]
