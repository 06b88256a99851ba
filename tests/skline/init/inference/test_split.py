"""The chosen split: every part has every class, about its share of the rows, and the stage split agrees."""

import numpy as np
import pandas as pd
import pytest

from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.init.inference.split import choose_split, training_part
from skline.split_rule import Split
from skline.stages.split import split

X, GROUP = Column(name="x", kind="number"), Column(name="owner", kind="string", role="group")


def contract(*more: Column, classes: tuple[str, ...] = ("a", "b")) -> Contract:
    target = Column(name="y", kind="string", role="target", choices=classes)
    return Contract(title="T", columns=(X, target, *more), task="binary", classes=classes)


def table(n: int, rare: int, owners: int = 10) -> pd.DataFrame:
    random = np.random.default_rng(n)
    return pd.DataFrame(
        {"x": random.normal(size=n), "y": np.where(np.arange(n) < rare, "b", "a"),
         "owner": [f"g{i}" for i in random.integers(0, owners, n)]}
    )  # fmt: skip


def test_the_first_seed_and_shares_are_kept_where_they_do() -> None:
    settings, reason, doubt = choose_split(table(1_000, 300), contract(), by_time=False, by_group=False)
    assert settings == {"kind": "random", "validation": 0.15, "test": 0.2}
    assert (reason, doubt) == ("each row's part follows from a hash of the row", None)


@pytest.mark.parametrize("n", range(100, 110))
def test_another_seed_is_chosen_if_a_part_would_lack_a_class(n: int) -> None:
    rows = table(n, rare=5)
    settings, _, _ = choose_split(rows, contract(), by_time=False, by_group=False)
    parts = split(rows, contract(), Split.model_validate(settings))
    assert all(set(parts[name]["y"]) == {"a", "b"} for name in ("train", "validation", "test"))
    assert all(settings[name] / 2 <= len(parts[name]) / n <= settings[name] * 2 for name in ("validation", "test"))
    assert training_part(rows, contract(), settings).equals(parts["train"])


def test_few_groups_are_divided_by_about_the_shares_of_rows() -> None:
    rows = table(1_000, 500).sample(frac=1, random_state=0)
    settings, _, _ = choose_split(rows, contract(GROUP), by_time=False, by_group=True)
    parts = split(rows, contract(GROUP), Split.model_validate(settings))
    assert settings["kind"] == "group"
    assert all(settings[name] / 2 <= len(parts[name]) / 1_000 <= settings[name] * 2 for name in ("validation", "test"))


def test_too_few_rows_of_a_class_are_named() -> None:
    with pytest.raises(SklineError, match=r"has no row with y = b; change split.seed or the shares in params.yaml, or"):
        choose_split(table(100, rare=2), contract(), by_time=False, by_group=False)
