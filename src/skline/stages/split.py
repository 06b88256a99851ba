"""Divide the validated rows into train, validation, test and live; no row and no group is in two parts.

`live` is kept out of training and evaluation, to be replayed as traffic.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline import paths
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.settings import Split

PARTS = ("train", "validation", "test", "live")


def split(rows: pd.DataFrame, contract: Contract, settings: Split) -> dict[str, pd.DataFrame]:
    """Divide rows at random, by group or by time.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        Validated rows with the contract's columns.
    contract : Contract
        Declares the target, and the group, time and id columns where there are any.
    settings : Split

    Returns
    -------
    dict from "train", "validation", "test" and "live" to DataFrame; every row is in exactly one.

    Raises
    ------
    SklineError
        If a part is empty or lacks a class, or an id or a group is in two parts.
    """
    match settings.kind:
        case "time":
            part = _by_time(rows[contract.by_role("time").name], settings)
        case "group":
            part = _by_group(rows[contract.by_role("group").name], settings)
        case _:
            strata = rows[contract.target.name] if contract.task != "regression" else None
            part = _at_random(len(rows), strata, settings)
    parts = {name: rows[part == index].reset_index(drop=True) for index, name in enumerate(PARTS)}
    _check_parts(parts, contract, live_expected=bool(settings.live or settings.live_from))
    return parts


def _by_time(times: pd.Series, settings: Split) -> npt.NDArray[np.int64]:
    """Return the part number of each row by the cut dates; a cut date belongs to the later part."""
    cuts = [settings.validation_from, settings.test_from, settings.live_from]
    stamps = np.array([pd.Timestamp(cut) for cut in cuts if cut is not None], dtype="datetime64[us]")
    return np.searchsorted(stamps, times.to_numpy(dtype="datetime64[us]"), side="right").astype(np.int64)


def _at_random(n_rows: int, strata: pd.Series | None, settings: Split) -> npt.NDArray[np.int64]:
    """Return a random part number for each row, stratified by class."""
    part = np.empty(n_rows, dtype=np.int64)
    random = np.random.default_rng(settings.seed)
    all_rows = [np.arange(n_rows)]
    groups = all_rows if strata is None else [np.flatnonzero(strata == value) for value in np.sort(strata.unique())]
    for rows in groups:
        part[random.permutation(rows)] = _shares(np.arange(len(rows)) / len(rows), settings)
    return part


def _by_group(groups: pd.Series, settings: Split) -> npt.NDArray[np.int64]:
    """Return a random part number for each group; the shares are of rows, as closely as whole groups allow."""
    codes, names = pd.factorize(groups, sort=True)
    order = np.random.default_rng(settings.seed).permutation(len(names))
    sizes = np.bincount(codes, minlength=len(names))[order]
    middle = (np.cumsum(sizes) - sizes / 2) / len(codes)
    part_of_group = np.empty(len(names), dtype=np.int64)
    part_of_group[order] = _shares(middle, settings)
    return part_of_group[codes]


def _shares(position: npt.NDArray[np.float64], settings: Split) -> npt.NDArray[np.int64]:
    """Return the part number of positions between 0 and 1: train first, live last."""
    train = 1 - settings.validation - settings.test - settings.live
    bounds = np.cumsum([train, settings.validation, settings.test])
    return np.searchsorted(np.round(bounds, 12), position, side="right").astype(np.int64)


def _check_parts(parts: Mapping[str, pd.DataFrame], contract: Contract, *, live_expected: bool) -> None:
    """Raise SklineError for an empty part, a part without a class, or an id or group in two parts."""
    target = contract.target.name
    for name, rows in parts.items():
        if name == "live" and not live_expected:
            continue
        if rows.empty:
            raise SklineError(f"split: the part {name!r} is empty; change the cut dates or shares in params.yaml")
        missing = set(contract.classes or ()) - set(rows[target].unique())
        if missing and name != "live":
            raise SklineError(
                f"split: the part {name!r} ({len(rows)} rows) has no row with {target} = "
                f"{', '.join(map(str, sorted(missing)))}; change the cut dates or shares in params.yaml"
            )
    for column in (*contract.with_role("id"), *contract.with_role("group")):
        owners = pd.concat(
            pd.DataFrame({"key": rows[column.name].unique(), "part": name}) for name, rows in parts.items()
        )
        shared = owners[owners["key"].duplicated(keep=False)]
        if len(shared):
            key = shared["key"].iloc[0]
            where = " and ".join(shared.loc[shared["key"] == key, "part"])
            raise SklineError(f"split: {column.name} {key!r} is in {where}; no {column.role} may be in two parts")


def describe_parts(parts: Mapping[str, pd.DataFrame], contract: Contract) -> dict[str, Any]:
    """Return the number of rows, the target's mean or class shares, and the time span of each part."""
    summary: dict[str, Any] = {}
    times = contract.with_role("time")
    for name, rows in parts.items():
        target = rows[contract.target.name]
        summary[name] = {"rows": len(rows)}
        if rows.empty:
            continue
        if contract.classes is None:
            summary[name]["target_mean"] = round(float(target.mean()), 6)
        else:
            shares = target.value_counts(normalize=True).sort_index()
            summary[name]["class_shares"] = {str(key): round(float(share), 6) for key, share in shares.items()}
        if times:
            column = rows[times[0].name]
            summary[name]["from"], summary[name]["to"] = str(column.min()), str(column.max())
    return summary


def main() -> None:
    """Read data/validated; write data/split and reports/split.json."""
    from skline.files import read_table, write_json, write_table
    from skline.settings import Settings

    settings, contract = Settings.load(), Contract.read(paths.CONTRACT)
    parts = split(read_table(paths.VALIDATED), contract, settings.split)
    for name, rows in parts.items():
        write_table(paths.part(name), rows)
    write_json(paths.SPLIT_REPORT, describe_parts(parts, contract))
    print(", ".join(f"{name} {len(rows):,}" for name, rows in parts.items()))
