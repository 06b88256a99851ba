"""Permutation importance: tables with one column replaced get the pipeline's own scores, with less computation."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from skline.contract.spec import Column, Contract
from skline.evaluation.importance import REPEATS, permutation_importance
from skline.evaluation.replacement import replacement_scorer
from skline.evaluation.rows import Rows
from skline.features import TextFeatures
from skline.scoring.reference import score_frame

CONTRACT = Contract(
    title="Letters",
    columns=(
        Column(name="size", kind="number", nullable=True),
        Column(name="weight", kind="number"),
        Column(name="kind", kind="string", nullable=True),
        Column(name="text", kind="string"),
        Column(name="urgent", kind="boolean", role="target"),
    ),
    task="binary",
    classes=(False, True),
)
NUMBERS = ["size", "weight"]


class Slow(TransformerMixin, BaseEstimator):
    """A transformer that plans do not support; it counts its calls."""

    calls = 0

    def fit(self, X: Any, y: Any = None) -> "Slow":
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        Slow.calls += 1
        return np.array([[len(text)] for text in X.iloc[:, -1]], dtype=np.float64)


def letters() -> pd.DataFrame:
    random = np.random.default_rng(1)
    size, kind = random.normal(0, 1, 400), random.choice(["a", "b", "c"], 400)
    words = random.choice(["now", "soon", "later", "never"], (400, 3))
    table = pd.DataFrame(
        {
            "size": np.where(random.random(400) < 0.1, np.nan, size), "weight": random.random(400),
            "kind": pd.array(np.where(kind == "c", None, kind), dtype="str"),
            "text": pd.array([" ".join(row) for row in words], dtype="str"),
        }
    )  # fmt: skip
    return table.assign(urgent=(size + (words == "now").any(axis=1) + random.normal(0, 0.3, 400)) > 0.8)


PIPELINES: dict[str, Any] = {
    "planned": make_pipeline(
        make_column_transformer(
            (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), ["kind"]),
            (TextFeatures(5), ["text"]),
            ("passthrough", NUMBERS),
        ),
        HistGradientBoostingClassifier(max_iter=10),
    ),
    "dense, without a plan": make_pipeline(
        make_column_transformer(
            (OneHotEncoder(), ["kind"]), (Slow(), ["text"]), ("passthrough", NUMBERS), sparse_threshold=0
        ),
        HistGradientBoostingClassifier(max_iter=10),
    ),
    "sparse, without a plan": make_pipeline(
        make_column_transformer(
            (TfidfVectorizer(), "text"), (OneHotEncoder(), ["kind"]), ("drop", ["size"]), remainder=StandardScaler()
        ),
        LogisticRegression(),
    ),
    "frames between steps": make_pipeline(
        make_column_transformer((StandardScaler(), ["weight"]), ("passthrough", ["size"])).set_output(
            transform="pandas"
        ),
        HistGradientBoostingClassifier(max_iter=10),
    ),
    "no column transformer": make_pipeline(Slow(), LogisticRegression()),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_replaced_column_gives_the_scores_of_the_changed_table(name: str) -> None:
    table = letters()
    frame = table[CONTRACT.input_names]
    pipeline = PIPELINES[name].fit(frame, table["urgent"])
    score = replacement_scorer(pipeline, CONTRACT.inputs, frame)
    order = np.random.default_rng(2).permutation(len(frame))
    for column in CONTRACT.input_names:
        values = frame[column].take(order).to_numpy()
        expected, actual = score_frame(pipeline, frame.assign(**{column: values})), score(column, values)
        assert np.array_equal(actual.predictions, expected.predictions), column
        assert actual.probabilities is not None
        assert expected.probabilities is not None
        assert np.array_equal(actual.probabilities, expected.probabilities), column
    unchanged = score("size", frame["size"].to_numpy())
    assert np.array_equal(unchanged.predictions, score_frame(pipeline, frame).predictions)


def test_texts_are_encoded_again_only_where_texts_are_permuted(monkeypatch: pytest.MonkeyPatch) -> None:
    from skline.scoring.transformers import text

    table, calls, encode = letters(), [0], text.text_vectors

    def count(*arguments: Any) -> Any:
        calls[0] += 1
        return encode(*arguments)

    monkeypatch.setattr(text, "text_vectors", count)
    planned = PIPELINES["planned"].fit(table[CONTRACT.input_names], table["urgent"])
    entries = permutation_importance(planned, Rows.of(table), CONTRACT, 0.5, "roc_auc", 300, seed=1)
    assert {entry["column"] for entry in entries[:2]} == {"size", "text"}
    assert calls[0] == 1 + REPEATS
    Slow.calls = 0
    dense = PIPELINES["dense, without a plan"].fit(table[CONTRACT.input_names], table["urgent"])
    Slow.calls = 0
    permutation_importance(dense, Rows.of(table), CONTRACT, 0.5, "roc_auc", 300, seed=1)
    assert Slow.calls == 1 + REPEATS
