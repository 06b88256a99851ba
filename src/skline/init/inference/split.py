"""Choose a split in which every part has enough rows of every class to train or evaluate on."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.partition import assign_parts, is_part
from skline.split_rule import Split
from skline.stages.split import split

#: Shares of the validation and the test part, in the order in which they are tried.
SHARES = [(0.15, 0.2), (0.2, 0.2), (0.2, 0.25), (0.25, 0.25)]
SEEDS = range(17, 47)
RANDOM_INSTEAD = (
    "no split by {} has every class in every part, so the split is random; the metrics will be too optimistic"
)

GROUP_BEFORE_TIME = (
    "the split is by group and not by time: later rows of a group in the training part are easier to predict than rows "
    "of a new group; if the model will predict later rows of known groups, omit --group"
)


def choose_split(
    rows: pd.DataFrame, contract: Contract, *, by_time: bool, by_group: bool
) -> tuple[dict[str, Any], str, str | None]:
    """Return the first split of the accepted rows that the stage split accepts.

    Returns
    -------
    settings : dict
        The section `split` of params.yaml.
    reason : str
    doubt : str or None
        What a person should check.

    Raises
    ------
    SklineError
        If even a random split leaves a part without a class.
    """
    doubt = None
    if by_group:
        if (settings := _first_valid("group", rows, contract)) is not None:
            return settings, "each group is in one part only", GROUP_BEFORE_TIME if by_time else None
        doubt = RANDOM_INSTEAD.format("group")
    elif by_time:
        for validation, test in SHARES:
            boundaries = _time_boundaries(rows[contract.by_role("time").name], validation, test)
            if boundaries is not None:
                settings = {"kind": "time", "validation_from": boundaries[0], "test_from": boundaries[1]}
                if _is_valid(rows, contract, settings):
                    return settings, "the test part has the latest rows", None
        doubt = RANDOM_INSTEAD.format("time")
    if (settings := _first_valid("random", rows, contract)) is not None:
        return settings, "each row's part follows from a hash of the row", doubt
    settings = {"kind": "random", "validation": SHARES[-1][0], "test": SHARES[-1][1]}
    split(rows, contract, Split.model_validate(settings))  # raises the error that names the class and the part
    raise AssertionError(settings)


def _first_valid(kind: str, rows: pd.DataFrame, contract: Contract) -> dict[str, Any] | None:
    """Return the first settings that the stage split accepts; those whose shares come out as set are preferred."""
    accepted = None
    for seed in SEEDS:
        for validation, test in SHARES:
            settings = {"kind": kind, "validation": validation, "test": test} | ({"seed": seed} if seed != 17 else {})
            if not _is_valid(rows, contract, settings):
                continue
            if _has_its_shares(rows, contract, settings):
                return settings
            accepted = accepted or settings
    return accepted


def training_part(rows: pd.DataFrame, contract: Contract, settings: dict[str, Any]) -> pd.DataFrame:
    """Return the rows of the training part of chosen settings."""
    return split(rows, contract, Split.model_validate(settings))["train"]


def _is_valid(rows: pd.DataFrame, contract: Contract, settings: dict[str, Any]) -> bool:
    """Whether the stage split accepts the settings for these rows."""
    try:
        parts = split(rows, contract, Split.model_validate(settings))
    except (SklineError, ValueError):
        return False
    return all(len(parts[name]) >= 2 for name in ("train", "validation", "test"))


def _has_its_shares(rows: pd.DataFrame, contract: Contract, settings: dict[str, Any]) -> bool:
    """Whether validation and test have at least half the rows that they are expected to have, and at most twice."""
    part = assign_parts(rows, contract, Split.model_validate(settings))
    shares = {name: float(is_part(part, name).mean()) for name in ("validation", "test")}
    return all(settings[name] / 2 <= share <= settings[name] * 2 for name, share in shares.items())


def _time_boundaries(times: pd.Series, validation: float, test: float) -> tuple[str, str] | None:
    """Return the first dates of the validation and the test part by the shares of rows; None if they coincide."""
    ordered = np.sort(times.to_numpy(dtype="datetime64[us]"))
    positions = [min(int(len(ordered) * share), len(ordered) - 1) for share in (1 - validation - test, 1 - test)]
    stamps = [pd.Timestamp(ordered[position]).to_pydatetime() for position in positions]
    days = [stamp.date() for stamp in stamps]
    first: dt.date = pd.Timestamp(ordered[0]).date()
    if first < days[0] < days[1]:
        return days[0].isoformat(), days[1].isoformat()
    if stamps[0] < stamps[1]:
        return stamps[0].isoformat(), stamps[1].isoformat()
    return None
