"""Divide the validated rows into train, validation, test and live; no row and no group is in two parts.

`live` is kept out of training and evaluation, to be replayed as traffic.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from skline import paths
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.partition import PARTS, assign_parts
from skline.split_rule import Split


def split(rows: pd.DataFrame, contract: Contract, settings: Split) -> dict[str, pd.DataFrame]:
    """Divide rows at random, by group or by time; see `skline.partition`.

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
    part = assign_parts(rows, contract, settings)
    parts = {name: rows[part == index].reset_index(drop=True) for index, name in enumerate(PARTS)}
    _check_parts(parts, contract, settings)
    return parts


def _check_parts(parts: Mapping[str, pd.DataFrame], contract: Contract, settings: Split) -> None:
    """Raise SklineError for an empty part, a part without a class, or an id or group in two parts."""
    target = contract.target.name
    what = "the cut dates" if settings.kind == "time" else "split.seed or the shares"
    for name, rows in parts.items():
        if name == "live" and not (settings.live or settings.live_from):
            continue
        if rows.empty:
            raise SklineError(f"split: the part {name!r} is empty; change {what} in params.yaml")
        missing = set(contract.classes or ()) - set(rows[target].unique())
        if missing and name != "live":
            raise SklineError(
                f"split: the part {name!r} ({len(rows)} rows) has no row with {target} = "
                f"{', '.join(map(str, sorted(missing)))}; change {what} in params.yaml, or collect more such rows"
            )
    for column in (*contract.with_role("id"), *contract.with_role("group")):
        owners = pd.concat(
            pd.DataFrame({"key": rows[column.name].dropna().unique(), "part": name}) for name, rows in parts.items()
        )
        shared = owners[owners["key"].duplicated(keep=False)]
        if len(shared):
            key = shared["key"].iloc[0]
            where = " and ".join(shared.loc[shared["key"] == key, "part"])
            remedy = "set split.kind: group in params.yaml" if column.role == "group" else "an id must be unique"
            raise SklineError(
                f"split: {column.name} {key!r} is in {where}; no {column.role} may be in two parts: {remedy}, or "
                f"remove {column.role}=True from the column in src/model/contract.py"
            )


def describe_parts(parts: Mapping[str, pd.DataFrame], contract: Contract) -> dict[str, Any]:
    """Return the number and share of rows, the target's mean or class shares, and the time span of each part."""
    summary: dict[str, Any] = {}
    total = max(sum(map(len, parts.values())), 1)
    times = contract.with_role("time")
    for name, rows in parts.items():
        target = rows[contract.target.name]
        summary[name] = {"rows": len(rows), "share": round(len(rows) / total, 4)}
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
    total = sum(map(len, parts.values()))
    print(", ".join(f"{name} {len(rows):,} ({len(rows) / total:.1%})" for name, rows in parts.items()))
