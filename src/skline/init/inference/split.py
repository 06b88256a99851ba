"""Choose a split in which every part has enough rows of every class to train or evaluate on."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline.contract.spec import Contract
from skline.counting import counted
from skline.errors import SklineError
from skline.split_rule import Split
from skline.stages.split import split

#: Shares of the validation and the test part, in the order in which they are tried.
SHARES = [(0.15, 0.2), (0.2, 0.2), (0.2, 0.25), (0.25, 0.25)]
SEEDS = range(17, 47)
#: With one test row of a class, 37 % of bootstrap resamples have none, and its metrics no interval; with two, 14 %.
MIN_PART_CLASS_ROWS = 2
RANDOM_INSTEAD = (
    "no split by {} has every class in every part, so the split is random; the metrics will be too optimistic"
)
FIXED_CUTS = (
    "the validation and the test part begin at fixed times, because no number of whole days or hours before the newest "
    "row divides this table: rows that come later are all in the test part, and no training learns from them. When the "
    "table spans more time, count back from its newest row, such as 28 and 14 days: split.validation_from: -28d and "
    "split.test_from: -14d"
)
#: Share of a part by which its number of rows may differ from the share that is tried, for cuts in round units.
SIZE_TOLERANCE = 0.25
#: The largest number of days or hours of a cut.
MAX_NUMBER = 99_999
GROUP_BEFORE_TIME = (
    "the split is by group and not by time: later rows of a group in the training part are easier to predict than rows "
    "of a new group; if the model will predict later rows of known groups, omit --group"
)


class SplitChoice(NamedTuple):
    """The split to write.

    Attributes
    ----------
    settings : dict
        The section `split` of params.yaml.
    training : DataFrame
        The rows of the training part.
    reason : str
    doubt : str or None
        What a person should check.
    """

    settings: dict[str, Any]
    training: pd.DataFrame
    reason: str
    doubt: str | None


def choose_split(rows: pd.DataFrame, contract: Contract, *, by_time: bool, by_group: bool) -> SplitChoice:
    """Return the first split of the accepted rows that the stage split accepts.

    Raises
    ------
    SklineError
        If even a random split leaves a part without a class.
    """
    doubt = None
    if by_group:
        if (found := _first_valid("group", rows, contract)) is not None:
            return SplitChoice(*found, "each group is in one part only", GROUP_BEFORE_TIME if by_time else None)
        doubt = RANDOM_INSTEAD.format("group")
    elif by_time:
        for validation, test in SHARES:
            for cuts in time_cuts(rows[contract.by_role("time").name], validation, test):
                settings: dict[str, Any] = {"kind": "time", "validation_from": cuts[0], "test_from": cuts[1]}
                if (parts := _valid_parts(rows, contract, settings)) is not None:
                    doubt = None if cuts[1].startswith("-") else FIXED_CUTS
                    return SplitChoice(settings, parts["train"], _latest_rows(cuts[1]), doubt)
        doubt = RANDOM_INSTEAD.format("time")
    if (found := _first_valid("random", rows, contract)) is not None:
        return SplitChoice(*found, "each row's part follows from a hash of the row", doubt)
    settings = {"kind": "random", "validation": SHARES[-1][0], "test": SHARES[-1][1]}
    split(rows, contract, Split.model_validate(settings))  # raises the error that names the class and the part
    raise AssertionError(settings)


def _latest_rows(cut: str) -> str:
    """Say which rows the test part has, by `split.test_from`."""
    if cut.startswith("-"):
        return f"the test part has the rows of the last {in_words(cut)}"
    return f"the test part has the latest rows, from {cut} on"


def in_words(cut: str) -> str:
    """Return the time before the newest row that a moving cut names: "-28d" is "28 days"."""
    number, unit = int(cut[1:-1]), {"d": "day", "h": "hour"}[cut[-1]]
    return counted(number, unit)


def _first_valid(kind: str, rows: pd.DataFrame, contract: Contract) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """Return the first settings that the stage split accepts, and the rows of the training part.

    Those with good shares and classes are preferred.
    """
    accepted = None
    for seed in SEEDS:
        for validation, test in SHARES:
            settings = {"kind": kind, "validation": validation, "test": test} | ({"seed": seed} if seed != 17 else {})
            if (parts := _valid_parts(rows, contract, settings)) is None:
                continue
            if _have_their_shares(parts, settings) and _have_their_classes(parts, contract):
                return settings, parts["train"]
            accepted = accepted or (settings, parts["train"])
    return accepted


def _valid_parts(rows: pd.DataFrame, contract: Contract, settings: dict[str, Any]) -> dict[str, pd.DataFrame] | None:
    """Return the parts of the rows; None if the stage split does not accept the settings for them."""
    try:
        parts = split(rows, contract, Split.model_validate(settings))
    except (SklineError, ValueError):
        return None
    return parts if all(len(parts[name]) >= 2 for name in ("train", "validation", "test")) else None


def _have_their_shares(parts: dict[str, pd.DataFrame], settings: dict[str, Any]) -> bool:
    """Whether validation and test have at least half the rows that they are expected to have, and at most twice."""
    n_rows = sum(map(len, parts.values()))
    shares = {name: len(parts[name]) / n_rows for name in ("validation", "test")}
    return all(settings[name] / 2 <= share <= settings[name] * 2 for name, share in shares.items())


def _have_their_classes(parts: dict[str, pd.DataFrame], contract: Contract) -> bool:
    """Whether validation and test have `MIN_PART_CLASS_ROWS` rows of every class; true of a regression."""
    return all(
        (parts[name][contract.target.name] == value).sum() >= MIN_PART_CLASS_ROWS
        for name in ("validation", "test")
        for value in contract.classes or ()
    )


def time_cuts(times: pd.Series, validation: float, test: float) -> Iterator[tuple[str, str]]:
    """Yield the first times of the validation and the test part by the shares of rows, the best choice first.

    These are whole days before the newest row, then hours, if the parts then have about their shares, and last the
    dates or times that divide the rows by the shares. Nothing is yielded if the parts cannot be told apart.
    """
    ordered = np.sort(times.to_numpy(dtype="datetime64[us]"))
    positions = [min(int(len(ordered) * share), len(ordered) - 1) for share in (1 - validation - test, 1 - test)]
    stamps = ordered[positions]
    if stamps[0] == stamps[1]:
        return
    expected = _sizes(ordered, stamps)
    for unit, name in ((np.timedelta64(1, "D"), "d"), (np.timedelta64(1, "h"), "h")):
        numbers = [max(1, round((ordered[-1] - stamp) / unit)) for stamp in stamps]
        sizes = _sizes(ordered, np.array([ordered[-1] - number * unit for number in numbers]))
        if numbers[0] <= MAX_NUMBER and np.all(np.abs(sizes - expected) <= SIZE_TOLERANCE * expected):
            yield f"-{numbers[0]}{name}", f"-{numbers[1]}{name}"
    moments = [pd.Timestamp(stamp).to_pydatetime() for stamp in stamps]
    days = [moment.date() for moment in moments]
    if pd.Timestamp(ordered[0]).date() < days[0] < days[1]:
        yield days[0].isoformat(), days[1].isoformat()
    else:
        yield moments[0].isoformat(), moments[1].isoformat()


def _sizes(ordered: npt.NDArray[np.datetime64], cuts: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
    """Return the numbers of rows of training, validation and test part; a row at a cut belongs to the later part."""
    return np.diff([0, *np.searchsorted(ordered, cuts), len(ordered)])
