"""Choose how the rows are split, so that every part can be learned from or judged by."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.settings import Split
from skline.stages.split import split

#: Shares of the validation and the test part, the usual ones first.
SHARES = [(0.15, 0.2), (0.2, 0.2), (0.2, 0.25), (0.25, 0.25)]
SEEDS = range(17, 47)
WORSE = (
    "no split by {} leaves every class in every part; the split is random, and the model will look better than it is"
)

NOT_BY_TIME = (
    "the split is by group and not by time: a model that has seen a group looks better on its later rows than it will "
    "on new groups; if later rows of known groups are what it will meet, leave --group out"
)


def choose_split(
    rows: pd.DataFrame, contract: Contract, *, by_time: bool, by_group: bool
) -> tuple[dict[str, Any], str, str | None]:
    """Try splits on the accepted rows until each part holds what it must.

    Returns
    -------
    settings : dict
        The section `split` of params.yaml.
    reason : str
    look : str or None
        What is not as one would wish.
    """
    look = None
    if by_group:
        for seed in SEEDS:
            for validation, test in SHARES:
                settings = {"kind": "group", "validation": validation, "test": test} | (
                    {"seed": seed} if seed != 17 else {}
                )
                if _works(rows, contract, settings):
                    return settings, "whole groups in one part each", NOT_BY_TIME if by_time else None
        look = WORSE.format("group")
    elif by_time:
        for validation, test in SHARES:
            cuts = _cuts(rows[contract.by_role("time").name], validation, test)
            if cuts is not None:
                settings = {"kind": "time", "validation_from": cuts[0], "test_from": cuts[1]}
                if _works(rows, contract, settings):
                    return settings, "tested on the latest rows", None
        look = WORSE.format("time")
    for validation, test in SHARES:
        settings = {"kind": "random", "validation": validation, "test": test}
        if _works(rows, contract, settings):
            return (
                settings,
                "by chance" + ("" if contract.classes is None else ", in equal shares from every class"),
                look,
            )
    settings = {"kind": "random", "validation": SHARES[-1][0], "test": SHARES[-1][1]}
    split(rows, contract, Split.model_validate(settings))  # says what is wrong
    raise AssertionError(settings)


def _works(rows: pd.DataFrame, contract: Contract, settings: dict[str, Any]) -> bool:
    """Whether the stage of the line would accept this split."""
    try:
        parts = split(rows, contract, Split.model_validate(settings))
    except (SklineError, ValueError):
        return False
    return all(len(parts[name]) >= 2 for name in ("train", "validation", "test"))


def _cuts(times: pd.Series, validation: float, test: float) -> tuple[str, str] | None:
    """Return the dates from which the later parts begin, by the shares of rows; None if they cannot differ."""
    ordered = np.sort(times.to_numpy(dtype="datetime64[us]"))
    places = [min(int(len(ordered) * share), len(ordered) - 1) for share in (1 - validation - test, 1 - test)]
    stamps = [pd.Timestamp(ordered[place]).to_pydatetime() for place in places]
    days = [stamp.date() for stamp in stamps]
    first: dt.date = pd.Timestamp(ordered[0]).date()
    if first < days[0] < days[1]:
        return days[0].isoformat(), days[1].isoformat()
    if stamps[0] < stamps[1]:
        return stamps[0].isoformat(), stamps[1].isoformat()
    return None
