"""The choice between plan and pipeline, and the verification on which it rests."""

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

from skline.scoring import planning
from skline.scoring.pipeline_scorer import pipeline_scorer
from skline.scoring.plan import Plan
from skline.scoring.planning import ScoringChoice, choose_scoring
from skline.scoring.reference import score_with_pipeline
from skline.scoring.scores import RowScore, Scores

from .tables import COLUMNS, UNUSUAL_ROWS, fit, make_rows, to_frame
from .test_estimators import CLASSIFIERS, REGRESSORS

TREES = HistGradientBoostingClassifier(max_iter=5)


class CustomTransformer(TransformerMixin, BaseEstimator):
    """A transformer that scikit-learn does not have."""

    def fit(self, X: Any, y: Any = None) -> "CustomTransformer":
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Any:
        return np.asarray(X, dtype=np.float64)


class CustomEstimator(ClassifierMixin, BaseEstimator):
    """An estimator that scikit-learn does not have."""

    def fit(self, X: Any, y: Any) -> "CustomEstimator":
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return self.classes_[np.zeros(len(X), dtype=int)]


def simple(estimator: Any, step: Any = None) -> Any:
    return fit(make_pipeline(ColumnTransformer([("n", step or SimpleImputer(), ["number", "whole"])]), estimator))


def test_supported_pipeline_is_planned() -> None:
    choice, plan = choose_scoring(simple(TREES), COLUMNS, make_rows(10))
    assert choice == ScoringChoice("plan", "bits")
    assert plan is not None
    assert plan.classes is not None
    assert plan.classes.tolist() == [0, 1]


def test_dense_linear_model_is_exact_to_ulps() -> None:
    step = make_pipeline(SimpleImputer(), StandardScaler())
    assert choose_scoring(simple(LogisticRegression(), step), COLUMNS, make_rows(10))[0] == ScoringChoice("plan", "ulp")


@pytest.mark.parametrize(
    ("estimator", "step", "message"),
    [(TREES, CustomTransformer(), "CustomTransformer"), (CustomEstimator(), None, "CustomEstimator")],
)
def test_pipeline_with_a_custom_part_scores_by_itself(estimator: Any, step: Any, message: str) -> None:
    choice, plan = choose_scoring(simple(estimator, step), COLUMNS, make_rows(5))
    assert choice.path == "pipeline"
    assert choice.exactness == "bits"
    assert message in (choice.reason or "")
    assert plan is None


def test_golden_rows_that_both_reject_count_as_equal() -> None:
    pipeline = simple(TREES, make_pipeline(SimpleImputer(), StandardScaler()))
    assert choose_scoring(pipeline, COLUMNS, [*UNUSUAL_ROWS, *make_rows(3)])[0].path == "plan"


def test_no_plan_is_used_without_golden_rows_that_the_pipeline_accepts() -> None:
    pipeline = simple(TREES)
    assert "no golden rows" in (choose_scoring(pipeline, COLUMNS, [])[0].reason or "")
    infinite = [{**make_rows(1)[0], "number": float("inf")}]
    assert "raises on every golden row" in (choose_scoring(pipeline, COLUMNS, infinite)[0].reason or "")


def test_plan_that_differs_in_a_bit_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, rows = simple(TREES), make_rows(20)
    original = Plan.score_columns

    def off_by_one_bit(self: Plan, columns: Any) -> Scores:
        scores = original(self, columns)
        assert scores.probabilities is not None
        scores.probabilities[3, 1] = np.nextafter(scores.probabilities[3, 1], 1)
        return scores

    monkeypatch.setattr(Plan, "score_columns", off_by_one_bit)
    assert (
        choose_scoring(pipeline, COLUMNS, rows)[0].reason
        == "the array plan differs from the pipeline on the golden rows"
    )
    monkeypatch.undo()

    def wrong(columns: Any, reading: Any, model: Any) -> Any:
        def answer(row: Any) -> RowScore:
            return 1, (0.25, 0.75)

        return answer

    monkeypatch.setattr("skline.scoring.plan._compile", wrong)
    assert "golden row 0" in (choose_scoring(pipeline, COLUMNS, rows)[0].reason or "")


def test_plan_that_differs_on_the_last_golden_row_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make_rows(planning.MAX_SINGLE_ROWS + 3)
    original = planning.score_single_row

    def wrong(plan: Plan, row: Any) -> Scores:
        scores = original(plan, row)
        return Scores(scores.predictions, np.array([[0.25, 0.75]])) if row is rows[-1] else scores

    monkeypatch.setattr(planning, "score_single_row", wrong)
    assert f"golden row {len(rows) - 1}" in (choose_scoring(simple(TREES), COLUMNS, rows)[0].reason or "")


def test_failure_to_build_a_plan_leaves_scoring_to_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("gone")

    monkeypatch.setattr(planning, "build_plan", broken)
    assert "KeyError" in (choose_scoring(simple(TREES), COLUMNS, make_rows(3))[0].reason or "")


def test_reference_equals_predict_and_predict_proba() -> None:
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
def test_pipeline_scorer_equals_the_reference(name: str, task: str) -> None:
    model = REGRESSORS["hgb_poisson"] if task == "regression" else CLASSIFIERS[name]
    step = make_pipeline(SimpleImputer(), CustomTransformer())
    columns = ColumnTransformer([("n", step, ["number", "whole"])])
    pipeline = fit(make_pipeline(columns, model), "positive" if task == "regression" else task)
    rows = make_rows(30, 5)
    score = pipeline_scorer(pipeline, COLUMNS)
    score(rows[3:9])  # a plan of the last step is verified on the first rows, and scores the next ones
    for batch in (rows[:1], rows):
        expected = score_with_pipeline(pipeline, COLUMNS, batch)
        actual = score(batch)
        assert expected.predictions.tolist() == actual.predictions.tolist()
        if expected.probabilities is None:
            assert actual.probabilities is None
        else:
            assert actual.probabilities is not None
            assert expected.probabilities.tobytes() == actual.probabilities.tobytes()


def test_import_loads_no_heavy_library() -> None:
    code = (
        "import sys; import skline.scoring.planning, skline.scoring.microbatch;"
        "print([m for m in ('pandera', 'mlflow', 'dvc', 'fastapi', 'sklearn.ensemble') if m in sys.modules])"
    )
    actual = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert actual.stdout.strip() == "[]"


def test_string_that_looks_like_code_is_never_executed() -> None:
    rows = [{**row, "town": "'); raise SystemExit('"} for row in make_rows(40)] + make_rows(80)
    pipeline = make_pipeline(ColumnTransformer([("t", OneHotEncoder(sparse_output=False), ["town"])]), TREES)
    pipeline.fit(to_frame(COLUMNS, rows), np.arange(120) % 2)
    assert choose_scoring(pipeline, COLUMNS, rows[:50])[0] == ScoringChoice("plan", "bits")
