"""The champion's gate: when it passes, fails and is undecided, and how many rows would decide."""

import math

import pytest

from skline.evaluation.bootstrap import Difference
from skline.evaluation.champion import Comparison
from skline.evaluation.champion_gate import check_champion, decide, rows_to_decide
from skline.settings.evaluation import ChampionGate, Gates


def difference(value: float, half_width: float, rows: int = 1_400) -> Difference:
    return Difference(metric="roc_auc", value=value, low=value - half_width, high=value + half_width, rows=rows)


@pytest.mark.parametrize(
    ("value", "half_width", "margin", "passed"),
    [
        (0.0, 0.004, 0.01, True),
        (-0.004, 0.001, 0.01, True),  # worse beyond chance, by less than the margin
        (-0.007, 0.004, 0.01, False),  # the rows are enough: an equal model would pass
        (-0.02, 0.004, 0.01, False),
        (-0.0017, 0.005, 0.005, None),  # too few rows for this margin
        (0.0, 0.02, 0.005, None),
        (-0.021, 0.02, 0.005, False),  # worse beyond chance, however few rows there are
        (0.01, 0.004, 0.0, True),
        (0.003, 0.004, 0.0, False),
    ],
)
def test_decision(value: float, half_width: float, margin: float, passed: bool | None) -> None:
    assert decide(difference(value, half_width), ChampionGate(margin=margin)) is passed
    strict = decide(difference(value, half_width), ChampionGate(margin=margin, require="better"))
    assert strict is (value - half_width > 0)


def test_rows_to_decide_are_those_with_which_an_equal_model_passes_in_95_percent() -> None:
    rules = ChampionGate(margin=0.005)
    needed = rows_to_decide(difference(-0.0017, 0.0049), rules)
    assert needed == pytest.approx(1_400 * (1.8392 * 0.0049 / 0.005) ** 2, rel=1e-3)
    standard_error = 0.0049 / 1.96 * math.sqrt(1_400 / needed)
    assert rules.margin / standard_error == pytest.approx(1.96 + 1.645, rel=1e-3)
    assert rows_to_decide(difference(0, 0.01), ChampionGate(margin=0)) == math.inf


def test_gate_says_what_was_compared_and_how_many_rows_would_decide() -> None:
    left = "280 of 1,400 test rows: the champion was fitted on 1,120"
    comparison = Comparison("shop/3", "c" * 64, difference(-0.0017, 0.0049, 280), rows=left)
    result = next(check_champion(Gates(), comparison, "a" * 64, has_segments=False))
    assert result.passed is None
    assert "on the same 280 rows: no difference" in result.reason
    assert f"compared on {left}; undecided on these rows; about 910 rows decide for this margin" in result.reason


def test_models_that_cannot_be_compared_are_not_stopped_unless_they_must_be_better() -> None:
    comparison = Comparison("shop/3", "c" * 64, obstacle="it predicts another target")
    [result] = check_champion(Gates(), comparison, "a" * 64, has_segments=False)
    assert result.passed is None
    assert result.reason == (
        "not compared with shop/3: it predicts another target; whether the model is worse is undecided; look at its "
        "metrics before you promote it"
    )
    [result] = check_champion(Gates(champion={"require": "better"}), comparison, "a" * 64, has_segments=False)  # type: ignore[arg-type]
    assert result.passed is False
    assert "the model must be better (gates.champion), which cannot be shown" in result.reason
