"""Divide the raw rows into accepted, quarantined (with all reasons) and unlabelled ones.

It never coerces a value, and never drops a row without counting it.
"""

from typing import Any, NamedTuple

import pandas as pd
import pandera.pandas as pa

from skline import paths
from skline.contract.spec import Contract
from skline.contract.table import Table
from skline.errors import SklineError

#: Examples in a report or message for each broken rule.
MAX_EXAMPLES = 3
REASONS = "reasons"


class Validated(NamedTuple):
    """The three groups of rows, and the report."""

    accepted: pd.DataFrame
    quarantined: pd.DataFrame
    unlabelled: pd.DataFrame
    report: dict[str, Any]


def validate(raw: pd.DataFrame, unparsed: pd.DataFrame, table: type[Table], contract: Contract) -> Validated:
    """Divide raw rows into those that follow the contract and those that break it.

    Parameters
    ----------
    raw : DataFrame of shape (n_rows, n_columns)
        The table of the stage ingest: exactly the contract's columns; integers and booleans are float64 where cells
        are missing.
    unparsed : DataFrame
        Cells that could not be parsed: row (position in `raw`), column, value, rule.
    table : subclass of Table
        `Labelled`.
    contract : Contract
        Derived from `table`.

    Returns
    -------
    Validated
        `accepted` has the contract's storage dtypes; `quarantined` has one more column, `reasons`, with all broken
        rules as text; `unlabelled` holds the rows whose target is empty. Every raw row is in exactly one of them.

    Raises
    ------
    SklineError
        If the table as a whole breaks the contract: a column is missing, unknown, or of another type.
    """
    raw = raw.reset_index(drop=True)
    target = contract.target.name
    unreadable_target = unparsed.loc[unparsed["column"] == target, "row"]
    unlabelled = raw[target].isna() & ~raw.index.isin(unreadable_target)
    labelled = raw[~unlabelled]
    failures = pd.concat(
        [
            unparsed[unparsed["row"].isin(labelled.index)],
            _without_unparsed(_contract_failures(labelled, table), unparsed),
            _duplicates(labelled, contract),
        ],
        ignore_index=True,
    )
    broken = labelled.index.isin(failures["row"])
    accepted = labelled[~broken].reset_index(drop=True)
    accepted = accepted.astype({column.name: column.storage for column in contract.columns})
    quarantined = labelled[broken].assign(**{REASONS: _reasons(failures)})
    report = {
        "rows": len(raw),
        "accepted": len(accepted),
        "quarantined": len(quarantined),
        "unlabelled": int(unlabelled.sum()),
        "quarantined_share": round(len(quarantined) / max(len(labelled), 1), 6),
        "broken_rules": _broken_rules(failures),
    }
    return Validated(accepted, quarantined, raw[unlabelled].reset_index(drop=True), report)


def check_quarantine(report: dict[str, Any], max_quarantined: float) -> None:
    """Stop the pipeline if too large a share of the labelled rows is in quarantine, or no row is accepted.

    Raises
    ------
    SklineError
        The message lists the broken rules, with the number of rows and examples of each.
    """
    share = report["quarantined_share"]
    if share <= max_quarantined and report["accepted"]:
        return
    rules = describe_rules(report)
    labelled = report["quarantined"] + report["accepted"]
    summary = f"{report['quarantined']:,} of {labelled:,} labelled rows ({share:.2%}) break the contract"
    if not report["accepted"]:
        raise SklineError(f"no row is left to train on: {summary}, {report['unlabelled']:,} have no label. {rules}")
    raise SklineError(
        f"{summary}, more than validate.max_quarantined allows ({max_quarantined:.2%}). {rules}. "
        f"See {paths.QUARANTINE}; fix the source, the contract, or the limit in {paths.PARAMS}"
    )


def describe_rules(report: dict[str, Any]) -> str:
    """Return the broken rules, with the number of rows and examples of each."""
    return "; ".join(
        f"{rule['column']} {rule['rule']}: {rule['rows']:,} rows, such as {', '.join(map(repr, rule['examples']))}"
        for rule in report["broken_rules"]
    )


def _contract_failures(frame: pd.DataFrame, table: type[Table]) -> pd.DataFrame:
    """Return every cell that breaks a rule of `table`: row, column, value, rule."""
    try:
        _schema_for(frame, table).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return pd.DataFrame({"row": [], "column": [], "value": [], "rule": []}).astype({"row": "int64"})
    table_failures = cases[cases["index"].isna()]
    if len(table_failures):
        messages = "; ".join(
            f"{case.column if case.schema_context == 'Column' else 'table'}: {case.check}, got {case.failure_case}"
            for case in table_failures.head(MAX_EXAMPLES).itertuples()
        )
        raise SklineError(
            f"the table breaks the contract as a whole: {messages}; correct src/model/contract.py or the source"
        )
    return pd.DataFrame(
        {
            "row": cases["index"].astype("int64"),
            "column": cases["column"],
            "value": cases["failure_case"].map(str),
            "rule": cases["check"].map(str).replace("not_nullable", "must not be missing"),
        }
    )


def _schema_for(frame: pd.DataFrame, table: type[Table]) -> pa.DataFrameSchema:
    """Return the schema for rows that are not validated yet.

    An integer or boolean column with empty cells is float64; the contract's own dtype would reject the whole column,
    whereas `nullable` rejects the cells. `_duplicates` checks uniqueness, because pandera's `unique` rejects the first
    of equal rows too.
    """
    schema = table.to_schema()
    updates: dict[str, Any] = {}
    for name, column in schema.columns.items():
        changes: dict[str, Any] = {"unique": False} if column.unique else {}
        if name in frame and str(frame[name].dtype) == "float64" and str(column.dtype) in ("int64", "bool"):
            changes["dtype"] = "float64"
            if str(column.dtype) == "int64":
                whole = pa.Check(lambda s: s % 1 == 0, name="whole", error="must be a whole number")
                changes["checks"] = [*column.checks, whole]
        if changes:
            updates[name] = changes
    return schema.update_columns(updates) if updates else schema


def _without_unparsed(failures: pd.DataFrame, unparsed: pd.DataFrame) -> pd.DataFrame:
    """Drop failures of cells that are empty because they could not be parsed: these have a reason already."""
    if failures.empty or unparsed.empty:
        return failures
    listed = pd.MultiIndex.from_frame(unparsed[["row", "column"]])
    return failures[~pd.MultiIndex.from_frame(failures[["row", "column"]]).isin(listed)]


def _duplicates(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return rows with a repeated unique value: all copies of a row but the first, and all rows that differ."""
    failures = []
    for column in contract.columns:
        if not column.unique:
            continue
        key = frame[column.name]
        same = frame[key.duplicated(keep=False) & key.notna()]
        copies = same.duplicated(keep="first")
        distinct = same.drop_duplicates()
        conflicting = same[column.name].isin(distinct.loc[distinct[column.name].duplicated(keep=False), column.name])
        for rows, rule in (
            (same[copies & ~conflicting], "repeats an earlier row"),
            (same[conflicting], "is shared by rows that differ"),
        ):
            values = rows[column.name].map(str)
            failures.append(pd.DataFrame({"row": rows.index, "column": column.name, "value": values, "rule": rule}))
    return pd.concat(failures) if failures else pd.DataFrame({"row": [], "column": [], "value": [], "rule": []})


def _reasons(failures: pd.DataFrame) -> pd.Series:
    """Return one text for each row with all rules that it breaks, indexed by row."""
    text = failures["column"] + " " + failures["rule"] + ": " + failures["value"]
    return text.groupby(failures["row"].astype("int64")).agg("; ".join).astype("str")


def _broken_rules(failures: pd.DataFrame) -> list[dict[str, Any]]:
    """Count rows by column and rule, most frequent first, with examples."""
    rules = [
        {
            "column": column,
            "rule": rule,
            "rows": int(cases["row"].nunique()),
            "examples": cases["value"].drop_duplicates().head(MAX_EXAMPLES).tolist(),
        }
        for (column, rule), cases in failures.groupby(["column", "rule"], sort=False)
    ]
    return sorted(rules, key=lambda rule: -rule["rows"])


def main() -> None:
    """Read data/raw; write data/validated and reports/validation.json, and only then check the limit."""
    from model.contract import Labelled
    from skline.files import read_table, write_json, write_table
    from skline.settings import Settings

    settings = Settings.load()
    result = validate(read_table(paths.RAW), read_table(paths.UNPARSED), Labelled, Contract.read(paths.CONTRACT))
    write_table(paths.VALIDATED, result.accepted)
    write_table(paths.QUARANTINE, result.quarantined)
    write_table(paths.UNLABELLED, result.unlabelled)
    write_json(paths.VALIDATION, result.report)
    check_quarantine(result.report, settings.validate_.max_quarantined)
    counts = (f"{result.report[kind]:,} {kind}" for kind in ("accepted", "quarantined", "unlabelled"))
    print(", ".join(counts))
    if result.report["quarantined"]:
        print(f"in quarantine: {describe_rules(result.report)}")
