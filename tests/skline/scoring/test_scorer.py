"""The choice between plan and pipeline, and the proof behind it."""

import datetime as dt
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skline.scoring import scorer
from skline.scoring.answers import RowAnswer, Scores
from skline.scoring.equality import same
from skline.scoring.fallback import pipeline_scorer
from skline.scoring.plan import Plan
from skline.scoring.reference import score_with_pipeline
from skline.scoring.scorer import Choice, choose, prepare
from skline.scoring.stamps import to_stamps

from .tables import COLUMNS, ODD, fit, make_rows, to_frame
from .test_estimators import CLASSIFIERS, REGRESSORS

TREES = HistGradientBoostingClassifier(max_iter=5)


class Custom(TransformerMixin, BaseEstimator):
    """A transformer of the user's own."""

    def fit(self, X: Any, y: Any = None) -> "Custom":
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Any:
        return np.asarray(X, dtype=np.float64)


class OwnModel(ClassifierMixin, BaseEstimator):
    """An estimator of the user's own."""

    def fit(self, X: Any, y: Any) -> "OwnModel":
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return self.classes_[np.zeros(len(X), dtype=int)]


def simple(estimator: Any, step: Any = None) -> Any:
    return fit(make_pipeline(ColumnTransformer([("n", step or SimpleImputer(), ["number", "whole"])]), estimator))


def test_a_known_pipeline_is_planned() -> None:
    choice, plan = prepare(simple(TREES), COLUMNS, make_rows(10))
    assert choice == Choice("plan", "bits")
    assert plan is not None
    assert plan.classes is not None
    assert plan.classes.tolist() == [0, 1]


def test_a_dense_linear_form_is_ulp() -> None:
    step = make_pipeline(SimpleImputer(), StandardScaler())
    assert choose(simple(LogisticRegression(), step), COLUMNS, make_rows(10)) == Choice("plan", "ulp")


@pytest.mark.parametrize(("estimator", "step", "said"), [(TREES, Custom(), "Custom"), (OwnModel(), None, "OwnModel")])
def test_a_custom_part_falls_back(estimator: Any, step: Any, said: str) -> None:
    choice, plan = prepare(simple(estimator, step), COLUMNS, make_rows(5))
    assert choice.path == "pipeline"
    assert choice.exactness == "bits"
    assert said in (choice.reason or "")
    assert plan is None


def test_refused_golden_rows_count_as_equal_if_both_refuse() -> None:
    pipeline = simple(TREES, make_pipeline(SimpleImputer(), StandardScaler()))
    assert choose(pipeline, COLUMNS, [*ODD, *make_rows(3)]).path == "plan"


def test_without_rows_that_prove_anything_there_is_no_plan() -> None:
    pipeline = simple(TREES)
    assert "no golden rows" in (choose(pipeline, COLUMNS, []).reason or "")
    infinite = [{**make_rows(1)[0], "number": float("inf")}]
    assert "raises on every golden row" in (choose(pipeline, COLUMNS, infinite).reason or "")


def test_a_wrong_plan_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, rows = simple(TREES), make_rows(20)
    right = Plan.score_columns

    def off_by_one_bit(self: Plan, columns: Any) -> Scores:
        scores = right(self, columns)
        assert scores.probabilities is not None
        scores.probabilities[3, 1] = np.nextafter(scores.probabilities[3, 1], 1)
        return scores

    monkeypatch.setattr(Plan, "score_columns", off_by_one_bit)
    assert choose(pipeline, COLUMNS, rows).reason == "the array plan differs from the pipeline on the golden rows"
    monkeypatch.undo()

    def wrong(columns: Any, reading: Any, model: Any) -> Any:
        def answer(row: Any) -> RowAnswer:
            return 1, (0.25, 0.75)

        return answer, answer

    monkeypatch.setattr("skline.scoring.plan._compile", wrong)
    assert "golden row 0" in (choose(pipeline, COLUMNS, rows).reason or "")


def test_a_wrong_answer_to_the_last_row_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make_rows(scorer.ALONE + 3)
    right = scorer.one_row

    def wrong(plan: Plan, row: Any) -> Scores:
        scores = right(plan, row)
        return Scores(scores.predictions, np.array([[0.25, 0.75]])) if row is rows[-1] else scores

    monkeypatch.setattr(scorer, "one_row", wrong)
    assert f"golden row {len(rows) - 1}" in (choose(simple(TREES), COLUMNS, rows).reason or "")


def test_a_plan_that_fails_to_be_read_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("gone")

    monkeypatch.setattr(scorer, "build_plan", broken)
    assert "KeyError" in (choose(simple(TREES), COLUMNS, make_rows(3)).reason or "")


def test_the_reference_is_predict_and_predict_proba() -> None:
    pipeline = simple(TREES, make_pipeline(SimpleImputer(), StandardScaler()))
    rows = make_rows(12)
    frame = to_frame(COLUMNS, rows)
    scores = score_with_pipeline(pipeline, COLUMNS, rows)
    assert scores.predictions.tolist() == pipeline.predict(frame).tolist()
    assert scores.probabilities is not None
    assert scores.probabilities.tobytes() == pipeline.predict_proba(frame).tobytes()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize(
    "name",
    ["hgb", "gb", "forest", "tree", "extra", "logistic", "dummy"],
)
def test_the_fallback_asks_once_and_answers_the_same(name: str, task: str) -> None:
    model = REGRESSORS["hgb_poisson"] if task == "regression" else CLASSIFIERS[name]
    step = make_pipeline(SimpleImputer(), Custom())
    columns = ColumnTransformer([("n", step, ["number", "whole"])])
    pipeline = fit(make_pipeline(columns, model), "positive" if task == "regression" else task)
    rows = make_rows(30, 5)
    score = pipeline_scorer(pipeline, COLUMNS)
    score(rows[3:9])  # what is planned is proved on the first rows, and answers the next ones
    for chosen in (rows[:1], rows):
        expected = score_with_pipeline(pipeline, COLUMNS, chosen)
        found = score(chosen)
        assert expected.predictions.tolist() == found.predictions.tolist()
        if expected.probabilities is None:
            assert found.probabilities is None
        else:
            assert found.probabilities is not None
            assert expected.probabilities.tobytes() == found.probabilities.tobytes()


@pytest.mark.parametrize(
    "values",
    [
        [dt.date(1, 1, 1), None, dt.date(9999, 12, 31), dt.date(1969, 12, 31)],
        [dt.datetime(1, 1, 1), None, dt.datetime(9999, 12, 31, 23, 59, 59, 999999)],
        [dt.date(2000, 1, 1), dt.datetime(1969, 12, 31, 23, 59, 59, 1)],
        [None],
        [],
    ],
)
def test_stamps_are_what_numpy_makes_of_them(values: list[Any]) -> None:
    expected = np.array(values, dtype="datetime64[us]")
    found = to_stamps(values)
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


def test_same() -> None:
    one = np.array([1.0, np.nan, 0.0])
    assert same(one, one.copy(), "bits")
    assert not same(one, np.array([1.0, np.nan, -0.0]), "bits")
    assert same(one, np.array([1.0 + 4 * 2**-52, np.nan, -0.0]), "ulp")
    assert not same(one, np.array([1.0 + 5 * 2**-52, np.nan, 0.0]), "ulp")
    assert not same(one, np.array([1.0]), "ulp")
    assert not same(np.array([1.0]), np.array([np.nan]), "ulp")
    assert same(np.array([np.inf]), np.array([np.inf]), "ulp")


def test_importing_the_scorer_is_light() -> None:
    code = (
        "import sys; import skline.scoring.scorer, skline.scoring.microbatch;"
        "print([m for m in ('pandera', 'mlflow', 'dvc', 'fastapi', 'sklearn.ensemble') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_text_that_looks_like_code_stays_text() -> None:
    rows = [{**row, "town": "'); raise SystemExit('"} for row in make_rows(40)] + make_rows(80)
    pipeline = make_pipeline(ColumnTransformer([("t", OneHotEncoder(sparse_output=False), ["town"])]), TREES)
    pipeline.fit(to_frame(COLUMNS, rows), np.arange(120) % 2)
    assert choose(pipeline, COLUMNS, rows[:50]) == Choice("plan", "bits")
