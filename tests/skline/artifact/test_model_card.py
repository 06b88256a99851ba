"""Tests of the model card."""

import pytest

from skline.artifact.model_card import markdown, sections
from skline.evaluation.metrics import describe_metrics
from skline.settings import Settings
from tests.fixtures import demo


def test_card_contains_metrics_columns_and_excluded_columns() -> None:
    metadata = {
        "title": "Flights",
        "libraries": {"numpy": "2"}, "metrics": {"rows": 3, "model": {"roc_auc": 0.7}, "dummy": {"roc_auc": 0.5}},
    }  # fmt: skip
    settings = Settings.load(demo.PARAMS)
    parts = {"train": {"rows": 1}, "test": {"rows": 3}}
    text = markdown("Flights", sections(settings, demo.contract(), metadata, parts, {}))
    assert "| roc_auc | 0.7000 | 0.5000 |" in text
    assert "| origin | string | no | one of EWR, JFK, LGA | Airport of departure |" in text
    assert "- `dep_delay`: delay at departure, known at the gate" in text


@pytest.mark.parametrize(
    ("metric", "weakest"), [("roc_auc", "low"), ("brier", "high"), ("log_loss", "high"), ("ece", "high")]
)
def test_the_weakest_segments_are_the_worst_by_the_direction_of_the_metric(metric: str, weakest: str) -> None:
    segments = [
        {"column": "town", "value": name, "rows": 500, metric: value, "intervals": {}}
        for name, value in (("low", 0.1), ("middle", 0.2), ("high", 0.3), ("empty", None))
    ]
    details = {"metric": metric, "descriptions": describe_metrics("binary"), "segments": segments}
    metadata = {
        "title": "Flights", "libraries": {},
        "metrics": {"rows": 3, "model": {}},
    }  # fmt: skip
    text = markdown("Flights", sections(Settings.load(demo.PARAMS), demo.contract(), metadata, {}, details))
    assert f"Weakest by {metric}: town {weakest} (" in text
