"""The default pipeline: written as a person would, for what the contract has, and scored by a plan to the last bit."""

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
from skline.init.pipeline_source import GROUPS, MANY_ROWS, TargetFacts, pipeline_source
from skline.stages.train import set_params
from tests import demo
from tests.skline.scoring.tables import assert_planned

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


def contract(groups: tuple[str, ...], task: Task = "binary") -> Contract:
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


NEW = [
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


def targets(task: Task, n: int) -> Any:
    rng = np.random.default_rng(2)
    match task:
        case "binary":
            return rng.permutation(np.array(["no", "yes"])[np.arange(n) % 5 // 4])
        case "multiclass":
            return rng.permutation(np.array(["a", "b", "c"])[np.arange(n) % 3])
        case _:
            return rng.lognormal(size=n)


def build(source: str, described: Contract) -> Any:
    namespace: dict[str, Any] = {}
    exec(compile(source, "src/model/pipeline.py", "exec"), namespace)  # noqa: S102 - our own text, under test
    return namespace["build_pipeline"](described)


def fitted(described: Contract, facts: TargetFacts, n: int = 80) -> Any:
    """Few trees: what is tested is what stands before them."""
    pipeline = build(pipeline_source(described, facts), described)
    set_params(pipeline, {"model__max_iter": 8}, seed=1)
    return pipeline.fit(to_frame(described.inputs, make_rows(n, 1)), targets(described.task, n))


#: Each group, neighbours, and all: in a ring, so that every group meets two others.
COMBINATIONS = [
    *((group,) for group in GROUPS),
    *((GROUPS[i - 1], GROUPS[i]) if i else (GROUPS[0], GROUPS[-2]) for i in range(len(GROUPS))),
    GROUPS,
]


@pytest.mark.parametrize("groups", COMBINATIONS, ids="+".join)
def test_it_fits_and_is_planned_for_every_combination_of_groups(groups: tuple[str, ...]) -> None:
    task = TASKS[COMBINATIONS.index(groups) % 3]
    described = contract(groups, task)
    rows = [{name: row[name] for name in described.input_names} for row in NEW]
    assert assert_planned(fitted(described, TargetFacts(80)), rows, described.inputs).exactness == "bits"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("facts", [TargetFacts(50), TargetFacts(MANY_ROWS + 1, skewed=True)], ids=str)
def test_it_fits_and_is_planned_for_every_task_and_size(task: Task, facts: TargetFacts) -> None:
    described = contract(GROUPS, task)
    assert assert_planned(fitted(described, facts, n=50), NEW, described.inputs).exactness == "bits"


def test_three_hundred_columns_fit() -> None:
    columns = [Column(name=f"x{i}", kind="number", feature_group="number") for i in range(300)]
    described = Contract(title="t", task="binary", columns=(*columns, Column(name="y", kind="boolean", role="target")))
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 300)), columns=described.input_names)
    pipeline = build(pipeline_source(described, TargetFacts(60)), described)
    assert np.isfinite(pipeline.fit(X, X["x0"] > 0).predict_proba(X)).all()


PAIRS = [c for size in (1, 2, len(GROUPS)) for c in itertools.combinations(GROUPS, size)]


def test_what_is_written_passes_the_projects_own_checks(tmp_path: Any) -> None:
    for number, (groups, task) in enumerate(itertools.product(PAIRS, TASKS)):
        for facts in (TargetFacts(50), TargetFacts(MANY_ROWS + 1, skewed=True)):
            text = pipeline_source(contract(groups, task), facts)
            (tmp_path / f"p{number}_{facts.rows}.py").write_text(text, encoding="utf-8")
    configuration = str(demo.ROOT / "pyproject.toml")
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", configuration, str(tmp_path)]
        done = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_only_what_the_contract_needs_is_written() -> None:
    for group in GROUPS:
        text = pipeline_source(contract((group,)))
        assert [other for other in GROUPS if f'groups["{other}"]' in text] == [group]
    text = pipeline_source(contract(("number",)))
    for unneeded in ("numpy", "Encoder", "Features", "KFold", "categorical_features"):
        assert unneeded not in text


def test_facts_decide_the_loss_and_when_boosting_stops() -> None:
    assert "early_stopping=False" in pipeline_source(contract(("number",)), TargetFacts(MANY_ROWS))
    assert "early_stopping=True" in pipeline_source(contract(("number",)), TargetFacts(MANY_ROWS + 1))
    plain, skewed = (
        pipeline_source(contract(("number",), "regression"), TargetFacts(99, skewed=skewed)) for skewed in (False, True)
    )
    assert "poisson" not in plain
    assert "poisson" in skewed


def test_facts_are_read_off_the_target() -> None:
    rng = np.random.default_rng(0)
    amounts = np.append(rng.lognormal(0, 1.2, 500), np.nan)
    assert TargetFacts.of(amounts, "regression") == TargetFacts(rows=500, skewed=True)
    assert not TargetFacts.of(amounts - 1, "regression").skewed, "the Poisson loss takes no values below zero"
    assert not TargetFacts.of(rng.normal(100, 1, 500), "regression").skewed
    assert not TargetFacts.of([1.0] * 9, "regression").skewed
    assert TargetFacts.of([], "regression") == TargetFacts()
    assert TargetFacts.of(["a", None, "b", float("nan")], "binary") == TargetFacts(rows=2)  # type: ignore[list-item]


def test_a_group_that_no_default_pipeline_knows_is_named() -> None:
    strange = Contract(title="t", task="binary", columns=(Column(name="at", kind="integer", feature_group="clock"),))
    with pytest.raises(SklineError, match="the feature groups clock; a default pipeline is written for category,"):
        pipeline_source(strange)
    with pytest.raises(SklineError, match="the contract has no inputs"):
        pipeline_source(Contract(title="t", task="binary", columns=()))


def test_it_has_the_same_answers_from_the_same_seed() -> None:
    described = contract(GROUPS)
    X = to_frame(described.inputs, NEW)
    first, second = (fitted(described, TargetFacts(MANY_ROWS + 1)).predict_proba(X) for _ in range(2))
    assert np.array_equal(first, second)
