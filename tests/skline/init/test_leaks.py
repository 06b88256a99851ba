"""Columns that know the answer are found, strong but honest ones are not."""

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from skline.init.guess import Guess
from skline.init.leaks import find_leaks

RANDOM = np.random.default_rng(3)
N = 600


def leaks(frame: pd.DataFrame, target: str, *, classes: bool) -> dict[str, str]:
    def kind(values: pd.Series) -> str:
        return "boolean" if values.dtype == bool else "number" if values.dtype.kind in "if" else "string"

    guesses = {name: Guess(str(name), kind(frame[name]), frame[name], ["made"]) for name in frame}  # type: ignore[arg-type]
    aim = guesses.pop(target)
    found = find_leaks(list(guesses.values()), aim, classes=classes)
    return {name: leak.reason for leak in found for name in leak.columns}


def noise() -> pd.DataFrame:
    return pd.DataFrame(RANDOM.normal(size=(N, 5)), columns=list("abcde"))


def test_another_word_for_the_target_is_a_leak() -> None:
    y = RANDOM.random(N) > 0.5
    assert set(leaks(noise().assign(y=y, alive=np.where(y, "yes!", "no!")), "y", classes=True)) == {"alive"}


@pytest.mark.parametrize("sign", ["+", "-", "·", "/"])
def test_two_columns_that_make_the_number_are_leaks(sign: str) -> None:
    p, q = RANDOM.gamma(5, 10, N), RANDOM.gamma(5, 10, N)
    y = {"+": p + q, "-": p - q, "·": p * q, "/": p / q}[sign]
    found = leaks(noise().assign(p=p, q=q, y=y), "y", classes=False)
    assert set(found) == {"p", "q"}
    assert sign in found["p"]


def test_two_columns_whose_difference_parts_the_classes_are_leaks() -> None:
    due = RANDOM.gamma(9, 10, N)
    late = RANDOM.random(N) > 0.6
    paid = np.where(late, due - RANDOM.gamma(2, 5, N) - 1, due + RANDOM.gamma(1, 3, N))
    assert set(leaks(noise().assign(due=due, paid=paid, late=late), "late", classes=True)) == {"due", "paid"}


def test_a_column_that_is_filled_when_the_target_is_known_is_a_leak() -> None:
    known = RANDOM.random(N) > 0.2
    y = pd.Series(RANDOM.random(N) > 0.5).astype("float64").where(known)
    outcome = pd.Series(RANDOM.normal(size=N)).where(known)
    assert set(leaks(noise().assign(y=y, outcome=outcome), "y", classes=True)) == {"outcome"}


def test_a_column_that_is_filled_for_one_class_is_a_leak() -> None:
    y = RANDOM.random(N) > 0.5
    reason = pd.Series(RANDOM.choice(["price", "moved"], N)).where(y & (RANDOM.random(N) < 0.5)).astype("str")
    assert set(leaks(noise().assign(y=y, reason=reason), "y", classes=True)) == {"reason"}


@pytest.mark.parametrize("load", ["iris", "wine", "breast_cancer", "diabetes"])
def test_real_tables_have_none(load: str) -> None:
    frame = getattr(datasets, f"load_{load}")(as_frame=True).frame
    assert leaks(frame, "target", classes=load != "diabetes") == {}


@pytest.mark.parametrize("n_rows", [50, 200, 600])
@pytest.mark.parametrize("seed", range(3))
def test_strong_honest_columns_are_none(n_rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(n_rows, 20)), columns=[f"x{i}" for i in range(20)])
    frame["sparse"] = frame["x5"].where(random.random(n_rows) > 0.7)
    number = 3 * frame["x0"] + 2 * frame["x1"] + random.normal(size=n_rows) * 0.4
    assert leaks(frame.assign(y=number), "y", classes=False) == {}
    assert leaks(frame.assign(y=number > 0), "y", classes=True) == {}
