"""Tests of what a model shows of itself in a notebook."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from skline.artifact import Artifact, MetricDescription
from skline.model_summary import describe_scoring, summarize_as_html
from tests.fixtures import demo


class Texts(HTMLParser):
    """Collects the text of each element, and the elements that are not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def artifact(packaged: demo.Packaged) -> Artifact:
    return Artifact.open(packaged.folder, packaged.digest)


def test_summary_has_version_metrics_and_inputs(artifact: Artifact) -> None:
    described = MetricDescription(label="ROC AUC", better="higher", meaning="ranks", of_classes=False)
    manifest = artifact.manifest.model_copy(
        update={
            "metrics": {"rows": 1200, "model": {"roc_auc": 0.67081}, "dummy": {"roc_auc": 0.5}},
            "metric_descriptions": {"roc_auc": described},
            "libraries": {"python": "3.12", "numpy": "2.4.1", "scikit-learn": "1.9.1", "lightgbm": "4.7.0"},
        }
    )
    page = Texts(summarize_as_html(replace(artifact, manifest=manifest), manifest.scoring))
    assert page.open == []
    assert {artifact.version, "ROC AUC", "0.6708", "0.5000", "Metrics on 1,200 rows of the test part"} <= {*page.texts}
    assert set(artifact.contract.input_names) <= {*page.texts}
    assert "fitted with python 3.12, scikit-learn 1.9.1, lightgbm 4.7.0" in "".join(page.texts)


def test_model_without_metrics_has_a_summary(artifact: Artifact) -> None:
    page = Texts(summarize_as_html(artifact, artifact.manifest.scoring))
    assert not any("Metrics" in text for text in page.texts)


def test_text_of_the_artifact_is_escaped(artifact: Artifact) -> None:
    manifest = artifact.manifest.model_copy(update={"title": "<script>alert(1)</script>"})
    assert "<script" not in summarize_as_html(replace(artifact, manifest=manifest), manifest.scoring)


def test_scoring_is_described(artifact: Artifact) -> None:
    scoring = artifact.manifest.scoring
    assert describe_scoring(scoring) == "a plan that equals the pipeline to the last bit"
    assert "to 13 digits" in describe_scoring(scoring.model_copy(update={"exactness": "ulp"}))
    assert describe_scoring(scoring.model_copy(update={"path": "pipeline"})) == "the pipeline"
