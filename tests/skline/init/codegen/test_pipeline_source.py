"""Tests of the rendered pipeline: it contains only what the contract needs, and its plan scores it bit by bit."""

import dataclasses
import datetime as dt
import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skline.contract.frames import to_frame
from skline.contract.spec import Column, Contract, Task
from skline.errors import SklineError
from skline.init.codegen.estimators import (
    EARLY_STOPPING_MIN_ROWS,
    GROUPS,
    Estimator,
    TargetSummary,
    default_estimator,
)
from skline.init.codegen.pipeline_source import render_pipeline
from skline.stages.train import set_params
from tests.fixtures import demo
from tests.skline.scoring.tables import assert_planned

SMALL_TREES, STOPPING = Estimator(early_stopping=False), Estimator()
LINEAR, FOREST = Estimator("linear"), Estimator("forest")
LIGHTGBM = Estimator("lightgbm", early_stopping=False)
TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
COLUMNS = {
    "category": (Column(name="colour", kind="string", nullable=True), Column(name="size of it", kind="string")),
    "many_categories": (Column(name="town", kind="string", nullable=True), Column(name="class", kind="string")),
    "text": (Column(name="comment", kind="string", nullable=True),),
    "date": (Column(name="day", kind="date"), Column(name="until", kind="date", nullable=True)),
    "datetime": (Column(name="moment", kind="datetime", nullable=True),),
    "boolean": (Column(name="flag", kind="boolean"), Column(name="maybe", kind="boolean", nullable=True)),
    "number": (Column(name="größe", kind="number", nullable=True), Column(name="count", kind="integer")),
}
WORDS = ["late", "Late!", "broken", "works", "always", "überall", "東京", "never again"]


def make_contract(groups: tuple[str, ...], task: Task = "binary") -> Contract:
    inputs = [c.model_copy(update={"feature_group": group}) for group in groups for c in COLUMNS[group]]
    target = Column(name="y", kind="number" if task == "regression" else "string", role="target")
    return Contract(title="t", columns=(*inputs, target), task=task)


def make_rows(n: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)

    def maybe(value: Any) -> Any:
        return None if rng.random() < 0.2 else value

    return [
        {
            "colour": maybe(str(rng.choice(["red", "green", "blue"]))),
            "size of it": str(rng.choice(["S", "M", "L"])),
            "town": maybe(f"town {rng.integers(60)}"),
            "class": f"c{rng.integers(60)}",
            "comment": maybe(" ".join(rng.choice(WORDS, rng.integers(0, 6)))),
            "day": dt.date(2023, 1, 1) + dt.timedelta(days=int(rng.integers(700))),
            "until": maybe(dt.date(2024, 1, 1) + dt.timedelta(days=int(rng.integers(700)))),
            "moment": maybe(dt.datetime(2023, 1, 1) + dt.timedelta(minutes=int(rng.integers(10**6)))),
            "flag": bool(rng.integers(2)),
            "maybe": maybe(bool(rng.integers(2))),
            "größe": maybe(float(rng.normal())),
            "count": int(rng.integers(20)),
        }
        for _ in range(n)
    ]


UNSEEN_ROWS = [
    {
        **dict.fromkeys(make_rows(1, 0)[0]),
        "size of it": "XL",
        "class": "",
        "day": dt.date(1, 1, 1),
        "flag": True,
        "count": 0,
    },
    {**make_rows(1, 5)[0], "town": "nowhere", "colour": "\x00unseen", "comment": "東", "größe": -1.7e308},
    {**make_rows(1, 6)[0], "comment": " \n\t", "moment": dt.datetime(9999, 12, 31, 23, 59), "maybe": None},
    *make_rows(4, 7),
]


def make_targets(task: Task, n: int) -> Any:
    rng = np.random.default_rng(2)
    match task:
        case "binary":
            return rng.permutation(np.array(["no", "yes"])[np.arange(n) % 5 // 4])
        case "multiclass":
            return rng.permutation(np.array(["a", "b", "c"])[np.arange(n) % 3])
        case _:
            return rng.lognormal(size=n)


def build_pipeline(source: str, contract: Contract) -> Any:
    namespace: dict[str, Any] = {}
    exec(compile(source, "src/model/pipeline.py", "exec"), namespace)  # noqa: S102 - the text under test
    return namespace["build_pipeline"](contract)


def fit_pipeline(contract: Contract, estimator: Estimator = SMALL_TREES, n: int = 80) -> Any:
    """Fit with few trees: the preprocessing is what is tested."""
    pipeline = build_pipeline(render_pipeline(contract, estimator), contract)
    few: dict[Any, dict[str, Any]] = {"boosting": {"model__max_iter": 8}, "forest": {"model__n_estimators": 5}}
    trees = {"model__estimator__n_estimators": 8}
    few |= {"lightgbm": {**trees, "model__estimator__n_jobs": 1}, "xgboost": {**trees, "model__estimator__n_jobs": 1}}
    few |= {"catboost": trees}
    set_params(pipeline, few.get(estimator.family, {}), seed=1)
    return pipeline.fit(to_frame(contract.inputs, make_rows(n, 1)), make_targets(contract.task, n))


#: Every group alone, every group with the next one in a ring, and all groups.
COMBINATIONS = [
    *((group,) for group in GROUPS),
    *((GROUPS[i - 1], GROUPS[i]) if i else (GROUPS[0], GROUPS[-2]) for i in range(len(GROUPS))),
    GROUPS,
]


#: What a plan is exact to: the sums of a linear model depend on the number of rows that are scored together.
EXACTNESS = {"boosting": "bits", "forest": "bits", "linear": "ulp", "lightgbm": "bits"}


@pytest.mark.parametrize("estimator", [SMALL_TREES, LINEAR, FOREST, LIGHTGBM], ids=Estimator.describe)
@pytest.mark.parametrize("groups", COMBINATIONS, ids="+".join)
def test_pipeline_fits_and_its_plan_is_exact_for_every_combination_of_groups(
    groups: tuple[str, ...], estimator: Estimator
) -> None:
    task = TASKS[COMBINATIONS.index(groups) % 3]
    contract = make_contract(groups, task)
    rows = [{name: row[name] for name in contract.input_names} for row in UNSEEN_ROWS]
    planned = assert_planned(fit_pipeline(contract, estimator), rows, contract.inputs)
    assert planned.exactness in ("bits", EXACTNESS[estimator.family])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "estimator",
    [SMALL_TREES, STOPPING, LINEAR, FOREST, dataclasses.replace(LIGHTGBM, early_stopping=True)],
    ids=Estimator.describe,
)
def test_pipeline_fits_and_its_plan_is_exact_for_every_task_and_estimator(task: Task, estimator: Estimator) -> None:
    contract = make_contract(GROUPS, task)
    poisson = task == "regression" and estimator.is_boosting and estimator.early_stopping
    fitted = fit_pipeline(contract, dataclasses.replace(estimator, poisson=poisson), n=50)
    assert assert_planned(fitted, UNSEEN_ROWS, contract.inputs).exactness in ("bits", EXACTNESS[estimator.family])


def test_pipeline_fits_three_hundred_columns() -> None:
    columns = [Column(name=f"x{i}", kind="number", feature_group="number") for i in range(300)]
    contract = Contract(title="t", task="binary", columns=(*columns, Column(name="y", kind="boolean", role="target")))
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 300)), columns=contract.input_names)
    pipeline = build_pipeline(render_pipeline(contract, SMALL_TREES), contract)
    assert np.isfinite(pipeline.fit(X, X["x0"] > 0).predict_proba(X)).all()


PAIRS = [c for size in (1, 2, len(GROUPS)) for c in itertools.combinations(GROUPS, size)]


def test_rendered_pipeline_passes_ruff_check_and_format(tmp_path: Any) -> None:
    libraries = [Estimator(name, early_stopping=name != "xgboost") for name in ("lightgbm", "xgboost", "catboost")]  # type: ignore[arg-type]
    for number, (groups, task) in enumerate(itertools.product(PAIRS, TASKS)):
        for other, estimator in enumerate((SMALL_TREES, STOPPING, LINEAR, FOREST, *libraries)):
            variant = dataclasses.replace(estimator, days=number % 2 == 0, poisson=task == "regression")
            text = render_pipeline(make_contract(groups, task), variant)
            (tmp_path / f"p{number}_{other}.py").write_text(text, encoding="utf-8")
    config = str(demo.ROOT / "pyproject.toml")
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", config, str(tmp_path)]
        completed = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert completed.returncode == 0, completed.stdout + completed.stderr


def test_rendered_pipeline_contains_only_what_the_contract_needs() -> None:
    for group in GROUPS:
        text = render_pipeline(make_contract((group,)))
        assert [other for other in GROUPS if f'groups["{other}"]' in text] == [group]
    text = render_pipeline(make_contract(("number",)))
    for unneeded in ("numpy", "Encoder", "Features", "KFold", "categorical_features"):
        assert unneeded not in text


def test_without_trends_the_number_of_the_day_is_no_input() -> None:
    contract = make_contract(("date", "datetime"))
    for estimator in (SMALL_TREES, LINEAR, FOREST):
        assert '"days"' in render_pipeline(contract, estimator)
        assert '"days"' not in render_pipeline(contract, dataclasses.replace(estimator, days=False))


def test_numbers_of_a_library_follow_the_categories_so_that_constraints_find_them() -> None:
    contract = make_contract(("category", "date", "number"), "regression")
    text = render_pipeline(contract, LIGHTGBM).replace("MONOTONE: dict[str, int] = {}", 'MONOTONE = {"count": -1}')
    pipeline = build_pipeline(text, contract)
    set_params(pipeline, {"model__estimator__n_jobs": 1}, seed=1)
    rows = make_rows(200, 1)
    pipeline.fit(to_frame(contract.inputs, rows), [row["count"] for row in rows])
    assert pipeline["model"].monotone == [0, -1]
    predictions = pipeline.predict(to_frame(contract.inputs, [{**rows[0], "count": count} for count in range(20)]))
    assert (np.diff(predictions) <= 0).all()


def test_target_summary_decides_loss_and_early_stopping() -> None:
    few, more = TargetSummary(EARLY_STOPPING_MIN_ROWS), TargetSummary(EARLY_STOPPING_MIN_ROWS + 1)
    assert "early_stopping=False" in render_pipeline(make_contract(("number",)), default_estimator(few, "binary"))
    assert "early_stopping=True" in render_pipeline(make_contract(("number",)), default_estimator(more, "binary"))
    plain, skewed = (
        render_pipeline(
            make_contract(("number",), "regression"), default_estimator(TargetSummary(99, skewed=skewed), "regression")
        )
        for skewed in (False, True)
    )
    assert "poisson" not in plain
    assert "poisson" in skewed


def test_target_summary_counts_rows_and_detects_skew() -> None:
    rng = np.random.default_rng(0)
    amounts = np.append(rng.lognormal(0, 1.2, 500), np.nan)
    assert TargetSummary.from_values(amounts, "regression") == TargetSummary(rows=500, skewed=True)
    shifted = TargetSummary.from_values(amounts - 1, "regression")
    assert not shifted.skewed, "the Poisson loss rejects negative values"
    assert not TargetSummary.from_values(rng.normal(100, 1, 500), "regression").skewed
    assert not TargetSummary.from_values([1.0] * 9, "regression").skewed
    assert TargetSummary.from_values([], "regression") == TargetSummary()
    assert TargetSummary.from_values(["a", None, "b", float("nan")], "binary") == TargetSummary(rows=2)  # type: ignore[list-item]


def test_rejects_unsupported_feature_groups_and_contracts_without_inputs() -> None:
    unsupported = Contract(
        title="t", task="binary", columns=(Column(name="at", kind="integer", feature_group="clock"),)
    )
    with pytest.raises(
        SklineError, match="the unsupported feature groups clock; a default pipeline supports category,"
    ):
        render_pipeline(unsupported)
    with pytest.raises(SklineError, match="the contract has no inputs"):
        render_pipeline(Contract(title="t", task="binary", columns=()))


def test_same_seed_gives_same_probabilities() -> None:
    contract = make_contract(GROUPS)
    X = to_frame(contract.inputs, UNSEEN_ROWS)
    first, second = (fit_pipeline(contract, STOPPING).predict_proba(X) for _ in range(2))
    assert np.array_equal(first, second)
