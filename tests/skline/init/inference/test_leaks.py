"""Tests of the search for leaks: columns that determine the target are found, strong features are not."""

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from skline.init.inference.column_guess import ColumnGuess
from skline.init.inference.leaks import find_leaks

RANDOM = np.random.default_rng(3)
N = 600


def leak_reasons(frame: pd.DataFrame, target: str, *, classes: bool) -> dict[str, str]:
    def kind(values: pd.Series) -> str:
        return "boolean" if values.dtype == bool else "number" if values.dtype.kind in "if" else "string"

    guesses = {name: ColumnGuess(str(name), kind(frame[name]), frame[name], ["generated"]) for name in frame}  # type: ignore[arg-type]
    target_guess = guesses.pop(target)
    leaks = find_leaks(list(guesses.values()), target_guess, classes=classes)
    return {name: leak.reason for leak in leaks for name in leak.columns}


def noise_columns() -> pd.DataFrame:
    return pd.DataFrame(RANDOM.normal(size=(N, 5)), columns=list("abcde"))


def test_target_in_other_words_is_a_leak() -> None:
    y = RANDOM.random(N) > 0.5
    assert set(leak_reasons(noise_columns().assign(y=y, alive=np.where(y, "yes!", "no!")), "y", classes=True)) == {
        "alive"
    }


@pytest.mark.parametrize("sign", ["+", "-", "·", "/"])
def test_two_columns_that_combine_to_the_target_are_leaks(sign: str) -> None:
    p, q = RANDOM.gamma(5, 10, N), RANDOM.gamma(5, 10, N)
    y = {"+": p + q, "-": p - q, "·": p * q, "/": p / q}[sign]
    reasons = leak_reasons(noise_columns().assign(p=p, q=q, y=y), "y", classes=False)
    assert set(reasons) == {"p", "q"}
    assert sign in reasons["p"]


def test_two_columns_whose_difference_separates_the_classes_are_leaks() -> None:
    due = RANDOM.gamma(9, 10, N)
    late = RANDOM.random(N) > 0.6
    paid = np.where(late, due - RANDOM.gamma(2, 5, N) - 1, due + RANDOM.gamma(1, 3, N))
    assert set(leak_reasons(noise_columns().assign(due=due, paid=paid, late=late), "late", classes=True)) == {
        "due",
        "paid",
    }


def test_column_filled_only_in_labelled_rows_is_a_leak() -> None:
    known = RANDOM.random(N) > 0.2
    y = pd.Series(RANDOM.random(N) > 0.5).astype("float64").where(known)
    outcome = pd.Series(RANDOM.normal(size=N)).where(known)
    assert set(leak_reasons(noise_columns().assign(y=y, outcome=outcome), "y", classes=True)) == {"outcome"}


def test_column_filled_for_one_class_only_is_a_leak() -> None:
    y = RANDOM.random(N) > 0.5
    reason = pd.Series(RANDOM.choice(["price", "moved"], N)).where(y & (RANDOM.random(N) < 0.5)).astype("str")
    assert set(leak_reasons(noise_columns().assign(y=y, reason=reason), "y", classes=True)) == {"reason"}


@pytest.mark.parametrize("load", ["iris", "wine", "breast_cancer", "diabetes"])
def test_real_tables_have_no_leaks(load: str) -> None:
    frame = getattr(datasets, f"load_{load}")(as_frame=True).frame
    assert leak_reasons(frame, "target", classes=load != "diabetes") == {}


@pytest.mark.parametrize("n_rows", [50, 200, 600])
@pytest.mark.parametrize("seed", range(3))
def test_strong_features_are_not_leaks(n_rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(n_rows, 20)), columns=[f"x{i}" for i in range(20)])
    frame["sparse"] = frame["x5"].where(random.random(n_rows) > 0.7)
    number = 3 * frame["x0"] + 2 * frame["x1"] + random.normal(size=n_rows) * 0.4
    assert leak_reasons(frame.assign(y=number), "y", classes=False) == {}
    assert leak_reasons(frame.assign(y=number > 0), "y", classes=True) == {}
