"""A transformer and an estimator of the project's own have no plan: the pipeline itself serves them, to the bit."""

import json
from pathlib import Path

import pytest

from skline.artifact import Artifact, read_digest
from tests.template.running import init_project, output_numbers, predict, run_module
from tests.template.tables import TABLES

STEPS = '''"""Steps of the project's own."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier


class RatioToMean(TransformerMixin, BaseEstimator):
    """Divide each number by the mean size of its column."""

    def fit(self, X, y=None):
        """Compute the means."""
        self.means_ = np.abs(np.asarray(X, dtype=np.float64)).mean(axis=0)
        return self

    def transform(self, X):
        """Return the ratios."""
        return np.asarray(X, dtype=np.float64) / self.means_


class TwoOpinions(ClassifierMixin, BaseEstimator):
    """The mean of a tree and of a linear model."""

    def fit(self, X, y):
        """Fit both."""
        self.members_ = [each.fit(X, y) for each in (DecisionTreeClassifier(max_depth=3), LogisticRegression())]
        self.classes_ = self.members_[0].classes_
        return self

    def predict_proba(self, X):
        """Return the mean of their probabilities."""
        return sum(member.predict_proba(X) for member in self.members_) / 2

    def predict(self, X):
        """Return the more probable class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
'''
PIPELINE = '''"""The pipeline, of the project's own steps."""

from sklearn.pipeline import Pipeline
from sklearn.compose import ColumnTransformer

from .steps import RatioToMean, TwoOpinions


def build_pipeline(contract):
    """Build the unfitted pipeline."""
    columns = ColumnTransformer([("numbers", RatioToMean(), contract.feature_groups()["number"])])
    return Pipeline([("columns", columns), ("model", TwoOpinions())])
'''


#: Prints the probabilities of the golden rows, each scored alone by the pipeline, as JSON.
EXPECTED = """
import json
import sys
from pathlib import Path

sys.path.insert(0, "src")
from skline.artifact import Artifact, read_digest
from skline.contract.frames import to_frame
from skline.scoring.golden_verification import parse_rows

artifact = Artifact.open(Path("artifact"), read_digest(Path("artifact.sha256")))
pipeline, inputs = artifact.load_pipeline(), artifact.contract.inputs
rows = parse_rows(artifact.contract, artifact.golden.rows[:20])
print(json.dumps([pipeline.predict_proba(to_frame(inputs, [row]))[0].tolist() for row in rows]))
"""


@pytest.mark.slow
def test_own_steps_are_served_by_the_pipeline_to_the_bit(project: Path) -> None:
    init_project(project, TABLES["binary"]())
    (project / "src/model/steps.py").write_text(STEPS)
    (project / "src/model/pipeline.py").write_text(PIPELINE)
    output = run_module(project, "dvc", "repro")
    reason = "plans do not support the transformer RatioToMean"
    assert f"scored by the pipeline itself, which takes milliseconds a row instead of microseconds: {reason}" in output
    assert "To have a plan, use the steps that docs/scoring.md of skline lists" in output

    artifact = Artifact.open(project / "artifact", read_digest(project / "artifact.sha256"))
    assert artifact.manifest.scoring.path == "pipeline"
    responses, _, _ = predict(project, artifact.golden.rows[:20])
    (project / "expected.py").write_text(EXPECTED)
    expected = json.loads(run_module(project, "expected"))
    assert [output_numbers(response) for response in responses] == expected
    run_module(project, "pytest", "-q", "-p", "no:cacheprovider")
