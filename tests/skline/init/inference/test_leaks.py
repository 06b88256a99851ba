"""Tests of the search for leaks: columns that determine the target are found, strong features are not."""

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from skline.init.inference.column_guess import ColumnGuess
from skline.init.inference.leaks import find_leaks

RANDOM = np.random.default_rng(3)
N = 600


def leak_reasons(frame: pd.DataFrame, target: str, *, is_class: bool) -> dict[str, str]:
    def kind(values: pd.Series) -> str:
        return "boolean" if values.dtype == bool else "number" if values.dtype.kind in "if" else "string"

    guesses = {name: ColumnGuess(str(name), kind(frame[name]), frame[name], ["generated"]) for name in frame}  # type: ignore[arg-type]
    target_guess = guesses.pop(target)
    leaks = find_leaks(list(guesses.values()), target_guess, is_class=is_class)
    return {name: leak.reason for leak in leaks for name in leak.columns}


def noise_columns() -> pd.DataFrame:
    return pd.DataFrame(RANDOM.normal(size=(N, 5)), columns=list("abcde"))


def test_target_in_other_words_is_a_leak() -> None:
    y = RANDOM.random(N) > 0.5
    assert set(leak_reasons(noise_columns().assign(y=y, alive=np.where(y, "yes!", "no!")), "y", is_class=True)) == {
        "alive"
    }


@pytest.mark.parametrize("sign", ["+", "-", "·", "/"])
def test_two_columns_that_combine_to_the_target_are_leaks(sign: str) -> None:
    p, q = RANDOM.gamma(5, 10, N), RANDOM.gamma(5, 10, N)
    y = {"+": p + q, "-": p - q, "·": p * q, "/": p / q}[sign]
    reasons = leak_reasons(noise_columns().assign(p=p, q=q, y=y), "y", is_class=False)
    assert set(reasons) == {"p", "q"}
    assert sign in reasons["p"]


def test_two_columns_whose_difference_separates_the_classes_are_leaks() -> None:
    due = RANDOM.gamma(9, 10, N)
    late = RANDOM.random(N) > 0.6
    paid = np.where(late, due - RANDOM.gamma(2, 5, N) - 1, due + RANDOM.gamma(1, 3, N))
    assert set(leak_reasons(noise_columns().assign(due=due, paid=paid, late=late), "late", is_class=True)) == {
        "due",
        "paid",
    }


def test_column_filled_only_in_labelled_rows_is_a_leak() -> None:
    known = RANDOM.random(N) > 0.2
    y = pd.Series(RANDOM.random(N) > 0.5).astype("float64").where(known)
    outcome = pd.Series(RANDOM.normal(size=N)).where(known)
    assert set(leak_reasons(noise_columns().assign(y=y, outcome=outcome), "y", is_class=True)) == {"outcome"}


def test_column_filled_for_one_class_only_is_a_leak() -> None:
    y = RANDOM.random(N) > 0.5
    reason = pd.Series(RANDOM.choice(["price", "moved"], N)).where(y & (RANDOM.random(N) < 0.5)).astype("str")
    assert set(leak_reasons(noise_columns().assign(y=y, reason=reason), "y", is_class=True)) == {"reason"}


@pytest.mark.parametrize("load", ["iris", "wine", "breast_cancer", "diabetes"])
def test_real_tables_have_no_leaks(load: str) -> None:
    frame = getattr(datasets, f"load_{load}")(as_frame=True).frame
    assert leak_reasons(frame, "target", is_class=load != "diabetes") == {}


@pytest.mark.parametrize("n_rows", [50, 200, 600])
@pytest.mark.parametrize("seed", range(3))
def test_strong_features_are_not_leaks(n_rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(n_rows, 20)), columns=[f"x{i}" for i in range(20)])
    frame["sparse"] = frame["x5"].where(random.random(n_rows) > 0.7)
    number = 3 * frame["x0"] + 2 * frame["x1"] + random.normal(size=n_rows) * 0.4
    assert leak_reasons(frame.assign(y=number), "y", is_class=False) == {}
    assert leak_reasons(frame.assign(y=number > 0), "y", is_class=True) == {}


def test_two_truncated_rows_are_no_evidence() -> None:
    frame = noise_columns()
    y = pd.Series(RANDOM.normal(size=N)) + frame["a"]
    frame.loc[[7, 8], ["a", "b", "c", "d"]] = np.nan
    assert leak_reasons(frame.assign(y=y.where(~frame["a"].isna())), "y", is_class=False) == {}


def test_many_truncated_rows_are_no_evidence_either() -> None:
    frame = noise_columns()
    y = pd.Series(RANDOM.random(N) > 0.5).astype("float64")
    y[:40] = np.nan
    frame.loc[:39, ["a", "b", "c"]] = np.nan
    assert leak_reasons(frame.assign(y=y), "y", is_class=True) == {}


def test_a_column_filled_in_three_rows_of_a_rare_class_is_no_leak() -> None:
    y = np.zeros(N, bool)
    y[:3] = True
    remark = pd.Series(np.where(y, "x", None), dtype="str")
    assert leak_reasons(noise_columns().assign(y=y, remark=remark), "y", is_class=True) == {}


@pytest.mark.parametrize("n_terms", [3, 4, 5, 6])
@pytest.mark.parametrize("seed", range(3))
def test_columns_that_add_up_to_the_target_are_leaks(n_terms: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = pd.DataFrame(random.lognormal(0, 1.2, (N, n_terms)).round(2), columns=[f"p{i}" for i in range(n_terms)])
    total = parts.sum(axis=1)
    frame = pd.concat([pd.DataFrame(random.normal(size=(N, 8))).add_prefix("x"), parts], axis=1)
    frame["population"] = total * random.lognormal(0, 0.3, N)  # correlated with the total, and no part of it
    reasons = leak_reasons(frame.assign(y=total.round(1)), "y", is_class=False)
    assert set(reasons) == set(parts.columns)
    assert "'p0' + 'p1' + 'p2'" in reasons["p0"]


def test_a_difference_of_four_columns_is_a_leak() -> None:
    random = np.random.default_rng(5)
    frame = pd.DataFrame(random.gamma(3, 10, (N, 6)), columns=list("abcdef"))
    frame["d"] = frame["d"].where(random.random(N) > 0.2)  # an empty term counts as zero
    profit = frame["a"] - frame["b"] - frame["c"] - frame["d"].fillna(0)
    reasons = leak_reasons(frame.assign(y=profit), "y", is_class=False)
    assert set(reasons) == {"a", "b", "c", "d"}
    assert "'a' - 'b' - 'c' - 'd'" in reasons["a"]


def test_terms_of_different_weights_are_features() -> None:
    random = np.random.default_rng(6)
    frame = pd.DataFrame(random.gamma(3, 10, (N, 4)), columns=list("abcd"))
    grade = 0.5 * frame["a"] + 0.3 * frame["b"] + 0.2 * frame["c"]
    assert leak_reasons(frame.assign(y=grade + random.normal(size=N)), "y", is_class=False) == {}


def test_a_rank_of_the_target_is_a_leak() -> None:
    random = np.random.default_rng(7)
    sales = pd.Series(random.pareto(1.1, N)).round(2)  # a heavy tail, and ties near zero
    frame = noise_columns().assign(y=sales, Rank=sales.rank(method="first", ascending=False))
    reasons = leak_reasons(frame, "y", is_class=False)
    assert set(reasons) == {"Rank"}
    assert "its order is that of the target" in reasons["Rank"]


def test_a_noisy_monotone_feature_is_no_rank() -> None:
    random = np.random.default_rng(8)
    x = random.normal(size=N)
    frame = noise_columns().assign(x=x, y=np.exp(x) * random.lognormal(0, 0.3, N))
    assert leak_reasons(frame, "y", is_class=False) == {}
