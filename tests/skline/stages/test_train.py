"""One pipeline, fitted on the inputs alone, the same from the same seed; what is unknown is refused by name."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline

from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.stages.train import train
from tests import demo
from tests.world.pipeline import build_pipeline

FEW = {"model__max_iter": 5}


def test_the_same_seed_gives_the_same_predictions() -> None:
    rows, inputs = demo.parts()["train"], demo.contract().input_names
    first, second = (train(rows, demo.contract(), build_pipeline, FEW, seed=3) for _ in range(2))
    test = demo.parts()["test"][inputs]
    assert np.array_equal(first.predict_proba(test), second.predict_proba(test))


def test_leaks_and_labels_cannot_reach_fit() -> None:
    seen: list[list[str]] = []

    class Spy(DummyClassifier):
        def fit(self, X: pd.DataFrame, y: object, **kwargs: object) -> "Spy":
            seen.append(list(X.columns))
            return super().fit(X, y, **kwargs)

    def build(_: Contract) -> Pipeline:
        return Pipeline([("model", Spy())])

    rows = demo.parts()["train"]
    rows = rows.assign(**dict.fromkeys(demo.contract().leaks, 1.0))
    train(rows, demo.contract(), build, {}, seed=1)
    assert seen == [demo.contract().input_names]
    assert not set(seen[0]) & {*demo.contract().leaks, "late"}


def test_the_columns_known_after_take_off_are_declared_leaks() -> None:
    assert {"dep_time", "dep_delay", "arr_time", "air_time", "arr_delay"} <= demo.contract().leaks.keys()


def test_unknown_parameters_are_refused_by_name() -> None:
    with pytest.raises(SklineError, match="no parameter 'model__max_itr'; did you mean 'model__max_iter'"):
        train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_itr": 5}, seed=1)


def test_a_value_that_sklearn_refuses_is_told_in_its_words() -> None:
    with pytest.raises(SklineError, match="'max_iter' parameter"):
        train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": -1}, seed=1)


def test_every_open_random_state_gets_the_seed_and_a_chosen_one_stays() -> None:
    pipeline = train(demo.parts()["train"], demo.contract(), build_pipeline, FEW, seed=7)
    assert pipeline.get_params()["model__random_state"] == 7
    pipeline = train(demo.parts()["train"], demo.contract(), build_pipeline, FEW | {"model__random_state": 1}, seed=7)
    assert pipeline.get_params()["model__random_state"] == 1


def test_a_category_never_seen_and_a_missing_value_get_an_answer() -> None:
    rows = demo.parts()["test"][demo.contract().input_names].head(3).copy()
    rows["dest"] = "ZZZ"
    rows["distance"] = np.nan
    assert np.isfinite(demo.pipeline().predict_proba(rows)).all()


def test_a_bar_on_a_terminal_changes_nothing_in_the_model(tmp_path: object) -> None:
    script = (
        "import sys; sys.stderr.isatty = lambda: True\n"
        "from tests import demo\n"
        "from tests.world.pipeline import build_pipeline\n"
        "from skline.stages.train import train\n"
        "p = train(demo.parts()['train'], demo.contract(), build_pipeline, {'model__max_iter': 20}, seed=17)\n"
        "print(p[-1].verbose, repr(p.predict_proba(demo.parts()['test'][demo.contract().input_names])[:5].tolist()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=demo.ROOT, check=True)
    expected = demo.pipeline().predict_proba(demo.parts()["test"][demo.contract().input_names])[:5].tolist()
    assert done.stdout == f"0 {expected!r}\n"
    assert "20/20" in done.stderr
