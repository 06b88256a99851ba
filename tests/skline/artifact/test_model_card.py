"""Tests of the model card."""

from skline.artifact.model_card import markdown, sections
from skline.settings import Settings
from tests.fixtures import demo


def test_card_contains_metrics_columns_and_excluded_columns() -> None:
    metadata = {
        "title": "Flights", "created_at": "now", "git_commit": None, "git_dirty": None,
        "libraries": {"numpy": "2"}, "metrics": {"rows": 3, "model": {"roc_auc": 0.7}, "dummy": {"roc_auc": 0.5}},
    }  # fmt: skip
    settings = Settings.load(demo.PARAMS)
    parts = {"train": {"rows": 1}, "test": {"rows": 3}}
    text = markdown("Flights", sections(settings, demo.contract(), metadata, parts, {}))
    assert "| roc_auc | 0.7000 | 0.5000 |" in text
    assert "| origin | string | no | one of EWR, JFK, LGA | Airport of departure |" in text
    assert "- `dep_delay`: delay at departure, known at the gate" in text
