"""Tests of the expressions of business figures: what they compute, and that they run nothing else."""

import numpy as np
import pytest

from skline.monitoring.expressions import InvalidExpression, evaluate, parse_expression
from skline.monitoring.kpis import cost_of, evaluate_kpi
from skline.settings.monitor import Kpi

VALUES = {
    "prediction": np.array([True, True, False]),
    "label": np.array([True, False, False]),
    "amount": np.array([10.0, 20.0, np.nan]),
    "carrier": np.array(["UA", None, "DL"], dtype=object),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("where(prediction & ~label, -amount, 1)", [1, -20, 1]),
        ("max(amount, 15) * 2 ** 2", [60, 80, np.nan]),
        ("1 if_missing", None),
        ("carrier == 'UA'", [1, 0, 0]),
        ("isnan(amount)", [0, 0, 1]),
        ("5 < amount <= 10", [1, 0, 0]),
        ("not label and prediction", [0, 1, 0]),
    ],
)
def test_value_of_an_expression(text: str, expected: list[float] | None) -> None:
    if expected is None:
        with pytest.raises(InvalidExpression, match="no expression"):
            parse_expression(text)
        return
    np.testing.assert_array_equal(np.asarray(evaluate(parse_expression(text), VALUES), dtype=float), expected)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "amount.__class__", "(lambda: 1)()", "[1, 2][0]", "amount[0]",
        "f'{amount}'", "exec('1')", "open('x')", "(x := 1)", "where(1, 2)", "abs(x=1)", "1j", "b'x'", "None",
        "[x for x in amount]", "-" * 50 + "1", "a if b else c", "amount @ amount", "amount is label",
    ],
)  # fmt: skip
def test_anything_else_is_rejected(text: str) -> None:
    with pytest.raises(InvalidExpression):
        parse_expression(text)


def test_figure_is_per_thousand_and_leaves_out_rows_without_a_label() -> None:
    everything = [(None, None, np.ones(3, dtype=bool))]
    kpi = Kpi(name="wrong", expression="prediction != label")
    (result,) = evaluate_kpi(kpi, VALUES, np.array([True, True, False]), everything, None)
    assert (result.rows, result.per_thousand.value) == (2, 500)
    (failed,) = evaluate_kpi(Kpi(name="x", expression="nothing + 1"), VALUES, np.ones(3, dtype=bool), everything, None)
    assert "nothing" in (failed.error or "")
    huge = Kpi(name="x", expression=f"amount + {10**400}")
    (failed,) = evaluate_kpi(huge, VALUES, np.ones(3, dtype=bool), everything, None)
    assert "does not fit its columns" in (failed.error or "")


def test_cost_follows_the_matrix() -> None:
    truth, predicted = np.array([0, 1, 1, -1]), np.array([1, 0, 1, 1])
    np.testing.assert_array_equal(cost_of(truth, predicted, [[0, 5], [40, -1]]), [5, 40, -1, np.nan])
