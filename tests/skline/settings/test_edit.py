"""A setting is changed in the text of params.yaml, and nothing else of the text."""

import pytest
import yaml

from skline.errors import SklineError
from skline.settings.edit import Value, set_value

COST = {"objective": "cost", "false_negative": 5.0}


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("# top\ntrain:\n  s: 1\n  threshold: 0.5  # why\n", 0.3, "# top\ntrain:\n  s: 1\n  threshold: 0.3  # why\n"),
        ("train:\n  threshold: {objective: fbeta}  # F1\n  s: 1\n", 0.2, "train:\n  threshold: 0.2  # F1\n  s: 1\n"),
        (
            "train:\n  threshold:\n    objective: recall\n    floor: 0.9  # most\n\n  # seed\n  s: 1\n", 0.2,
            "train:\n  threshold: 0.2  # most\n\n  # seed\n  s: 1\n",
        ),
        ("train:\n  # the seed\n  seed: 1\n", 0.2, "train:\n  # the seed\n  threshold: 0.2\n  seed: 1\n"),
        ("train: {seed: 1}  # short\n", 0.2, "train: {threshold: 0.2, seed: 1}  # short\n"),
        ("train: {}  # none\ngates: {}\n", 0.2, "train:\n  threshold: 0.2  # none\ngates: {}\n"),
        ("train:\ngates: {}\n", 0.2, "train:\n  threshold: 0.2\ngates: {}\n"),
        ("train:", 0.2, "train:\n  threshold: 0.2"),
        ("gates: {}", 0.2, "gates: {}\n\ntrain:\n  threshold: 0.2\n"),
        ("train: {threshold: 0.5}", COST, "train: {threshold: {objective: cost, false_negative: 5.0}}"),
        ("évaluer: é\ntrain:\n  threshold: 5.0e-1\n", 0.25, "évaluer: é\ntrain:\n  threshold: 0.25\n"),
    ],
)  # fmt: skip
def test_only_the_setting_changes(before: str, value: Value, after: str) -> None:
    assert set_value(before, "train", "threshold", value) == after
    assert yaml.safe_load(after)["train"]["threshold"] == value
    assert set_value(after, "train", "threshold", value) == after


@pytest.mark.parametrize(
    "text",
    [
        "train:\n  threshold: &shared {objective: fbeta}\nother: *shared\n",
        "base: &base {threshold: 0.5}\ntrain: *base\n",
    ],
)
def test_text_whose_other_settings_would_change_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(SklineError, match=r"train.threshold cannot be changed alone .* write `threshold: 0.2`"):
        set_value(text, "train", "threshold", 0.2)
