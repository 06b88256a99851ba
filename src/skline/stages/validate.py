"""Divide the raw rows into accepted, quarantined (with all reasons) and unlabelled ones.

It never coerces a value, and never drops a row without counting it. The rows are checked in batches; only for columns
that must be unique all rows are compared.
"""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pa

from skline import paths
from skline.batches import count_rows, read_frames, table_writer
from skline.contract.column_parsing import WHOLE_ROW
from skline.contract.spec import Contract
from skline.contract.table import Table
from skline.counting import counted
from skline.errors import SklineError
from skline.feedback import PASSED_ON
from skline.whole_table import Hashes, Positions, hash_values, repeated_rows

#: Examples in a report or message for each broken rule.
MAX_EXAMPLES = 3
REASONS = "reasons"
#: Columns of the failures, and their dtypes.
FAILURES = {"row": "int64", "column": "str", "value": "str", "rule": "str"}


class Divided(NamedTuple):
    """The three groups of the rows of a batch; see `validate`."""

    accepted: pd.DataFrame
    quarantined: pd.DataFrame
    unlabelled: pd.DataFrame


class Validated(NamedTuple):
    """The three groups of rows, and the report."""

    accepted: pd.DataFrame
    quarantined: pd.DataFrame
    unlabelled: pd.DataFrame
    report: dict[str, Any]


def validate(raw: pd.DataFrame, unparsed: pd.DataFrame, table: type[Table], contract: Contract) -> Validated:
    """Divide raw rows in memory into those that follow the contract and those that break it.

    Parameters
    ----------
    raw : DataFrame of shape (n_rows, n_columns)
        The table of the stage ingest: the contract's columns; integers and booleans are float64 where cells are
        missing. Columns of `skline.feedback.PASSED_ON` are passed on.
    unparsed : DataFrame
        Cells that could not be parsed: row (position in `raw`), column, value, rule; with WHOLE_ROW as the column, rows
        that could not be read.
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
    validator = Validator(table, contract)
    repeated = find_duplicates(raw[is_labelled(raw, unparsed, contract)], contract)
    return Validated(*validator.divide(raw, unparsed, repeated), validator.report())


def is_labelled(raw: pd.DataFrame, unparsed: pd.DataFrame, contract: Contract) -> pd.Series:
    """Whether each row has a target, or could not be read, or its target could not be."""
    target = contract.target.name
    unreadable = unparsed.loc[unparsed["column"].isin([target, WHOLE_ROW]), "row"]
    labelled: pd.Series = raw[target].notna() | raw.index.isin(unreadable)
    return labelled


class Validator:
    """Divides the rows of a table, batch by batch, and counts them; see `validate`."""

    def __init__(self, table: type[Table], contract: Contract) -> None:
        self._table, self._contract = table, contract
        self._schema: pa.DataFrameSchema | None = None
        self._counts = dict.fromkeys(("rows", *Divided._fields), 0)
        self._rules: dict[tuple[str, str], dict[str, Any]] = {}

    def divide(self, raw: pd.DataFrame, unparsed: pd.DataFrame, repeated: pd.DataFrame) -> Divided:
        """Divide the rows of a batch.

        Parameters
        ----------
        raw : DataFrame of shape (n_rows, n_columns)
            With a RangeIndex. All batches have the same dtypes.
        unparsed : DataFrame
            Its cells that could not be parsed: row (position in the batch), column, value, rule.
        repeated : DataFrame
            Its cells whose value must be unique and is not, in the same form: see `find_duplicates`.
        """
        labelled = raw[is_labelled(raw, unparsed, self._contract)]
        checked = labelled.drop(columns=[name for name in PASSED_ON if name in labelled])
        if self._schema is None:
            self._schema = _schema_for(checked, self._table)
        failures = pd.concat(
            [
                unparsed[unparsed["row"].isin(labelled.index)],
                _without_unparsed(_contract_failures(checked, self._schema), unparsed),
                repeated,
            ],
            ignore_index=True,
        ).astype(FAILURES)  # columns of empty frames are float64
        broken = labelled.index.isin(failures["row"])
        accepted = labelled[~broken].reset_index(drop=True)
        divided = Divided(
            accepted.astype({column.name: column.storage for column in self._contract.columns}),
            labelled[broken].assign(**{REASONS: _reasons(failures)}),
            raw[~raw.index.isin(labelled.index)].reset_index(drop=True),
        )
        self._counts["rows"] += len(raw)
        for name, rows in zip(Divided._fields, divided, strict=True):
            self._counts[name] += len(rows)
        self._count_rules(failures)
        return divided

    def report(self) -> dict[str, Any]:
        """Return the numbers of rows, and the broken rules, most frequent first, with examples."""
        labelled = self._counts["accepted"] + self._counts["quarantined"]
        return self._counts | {
            "quarantined_share": round(self._counts["quarantined"] / max(labelled, 1), 6),
            "broken_rules": sorted(self._rules.values(), key=lambda rule: -rule["rows"]),
        }

    def _count_rules(self, failures: pd.DataFrame) -> None:
        """Count rows by column and rule, and keep examples."""
        for key, cases in failures.groupby(["column", "rule"], sort=False):
            column, rule = map(str, key)
            empty = {"column": column, "rule": rule, "rows": 0, "examples": []}
            counted = self._rules.setdefault((column, rule), empty)
            counted["rows"] += int(cases["row"].nunique())
            new = cases.loc[~cases["value"].isin(counted["examples"]), "value"].drop_duplicates()
            counted["examples"] += new.head(MAX_EXAMPLES - len(counted["examples"])).tolist()


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
        f"{rule['column']} {rule['rule']}: {counted(rule['rows'], 'row')}, such as "
        f"{', '.join(map(repr, rule['examples']))}"
        for rule in report["broken_rules"]
    )


def _contract_failures(frame: pd.DataFrame, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Return every cell that breaks a rule of the contract: row, column, value, rule."""
    try:
        schema.validate(frame, lazy=True)
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
    whereas `nullable` rejects the cells. `find_duplicates` checks uniqueness, because pandera's `unique` rejects the
    first of equal rows too.
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
    failures = failures[~failures["row"].isin(unparsed.loc[unparsed["column"] == WHOLE_ROW, "row"])]
    listed = pd.MultiIndex.from_frame(unparsed[["row", "column"]])
    return failures[~pd.MultiIndex.from_frame(failures[["row", "column"]]).isin(listed)]


def find_duplicates(rows: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return the cells that repeat a unique value: all copies of a row but the first, and all rows that differ.

    Parameters
    ----------
    rows : DataFrame
        Labelled rows, indexed by their position in the table: all, or at least those that share a unique value.

    Returns
    -------
    DataFrame with the columns row, column, value and rule
    """
    frame = rows.drop(columns=[name for name in PASSED_ON if name in rows])
    failures = []
    for column in contract.columns:
        if not column.unique:
            continue
        key = frame[column.name]
        same = frame[key.duplicated(keep=False) & key.notna()]
        copies = same.duplicated(keep="first")
        distinct = same.drop_duplicates()
        conflicting = same[column.name].isin(distinct.loc[distinct[column.name].duplicated(keep=False), column.name])
        for cases, rule in (
            (same[copies & ~conflicting], "repeats an earlier row"),
            (same[conflicting], "is shared by rows that differ"),
        ):
            values = cases[column.name].map(str)
            failures.append(pd.DataFrame({"row": cases.index, "column": column.name, "value": values, "rule": rule}))
    return pd.concat(failures) if failures else pd.DataFrame({"row": [], "column": [], "value": [], "rule": []})


def _reasons(failures: pd.DataFrame) -> pd.Series:
    """Return one text for each row with all rules that it breaks, indexed by row."""
    text = failures["column"] + " " + failures["rule"] + ": " + failures["value"]
    return text.groupby(failures["row"].astype("int64")).agg("; ".join).astype("str")


def find_duplicates_on_disk(raw: Path, unparsed: Path, contract: Contract) -> pd.DataFrame:
    """Return the cells of a table on disk that repeat a unique value; see `find_duplicates`.

    Only rows that share a value with another row are in memory at once; a table of one batch is looked at as a whole.
    """
    frames = read_frames(raw)
    first = next(frames)
    if len(first) == count_rows(raw):
        return find_duplicates(first[is_labelled(first, pd.read_parquet(unparsed), contract)], contract)
    found = [
        repeated_rows(_labelled_values(raw, unparsed, contract, column.name), count_rows(raw), raw.parent)
        for column in contract.columns
        if column.unique
    ]
    positions = np.unique(np.concatenate([np.empty(0, np.int64), *found]))
    rows, first_row = [first.iloc[:0]], 0
    for frame in itertools.chain([first], frames):
        start, stop = np.searchsorted(positions, [first_row, first_row + len(frame)])
        if start == len(positions):
            break
        chosen = positions[start:stop]
        rows.append(frame.iloc[chosen - first_row].set_axis(chosen))
        first_row += len(frame)
    return find_duplicates(pd.concat(rows), contract)


def _labelled_values(raw: Path, unparsed: Path, contract: Contract, column: str) -> Iterator[tuple[Positions, Hashes]]:
    """Yield the positions of the labelled rows that have a value in a column, and the hashes of these values."""
    first_row = 0
    for frame in read_frames(raw, list({column: None, contract.target.name: None})):
        cells = _unparsed_cells(unparsed, first_row, len(frame))
        values = frame.loc[is_labelled(frame, cells, contract), column].dropna()
        yield first_row + values.index.to_numpy(np.int64), hash_values(values)
        first_row += len(frame)


def _unparsed_cells(unparsed: Path, first_row: int, n_rows: int) -> pd.DataFrame:
    """Return the cells of a batch that could not be parsed; their row is the position in the batch."""
    cells = pd.read_parquet(unparsed, filters=[("row", ">=", first_row), ("row", "<", first_row + n_rows)])
    return cells.assign(row=cells["row"] - first_row)


def validate_batches(raw: Path, unparsed: Path, validator: Validator, contract: Contract) -> Iterator[Divided]:
    """Divide the rows of a table on disk, batch by batch."""
    repeated, first_row = find_duplicates_on_disk(raw, unparsed, contract), 0
    for frame in read_frames(raw):
        end = first_row + len(frame)
        own = repeated[(repeated["row"] >= first_row) & (repeated["row"] < end)]
        cells = _unparsed_cells(unparsed, first_row, len(frame))
        yield validator.divide(frame, cells, own.assign(row=own["row"] - first_row))
        first_row = end


def main() -> None:
    """Read data/raw; write data/validated and reports/validation.json, and only then check the limit."""
    from model.contract import Labelled
    from skline.files import write_json
    from skline.settings import Settings
    from skline.stages.progress import show_elapsed

    settings, contract = Settings.load(), Contract.read(paths.CONTRACT)
    validator = Validator(Labelled, contract)
    with ExitStack() as stack:
        stack.enter_context(show_elapsed("validate"))
        files = (paths.VALIDATED, paths.QUARANTINE, paths.UNLABELLED)
        writers = [stack.enter_context(table_writer(path)) for path in files]
        for divided in validate_batches(paths.RAW, paths.UNPARSED, validator, contract):
            for writer, rows in zip(writers, divided, strict=True):
                writer.write(rows)
    report = validator.report()
    write_json(paths.VALIDATION, report)
    check_quarantine(report, settings.validate_.max_quarantined)
    print(", ".join(f"{report[kind]:,} {kind}" for kind in ("accepted", "quarantined", "unlabelled")))
    if report["quarantined"]:
        print(f"in quarantine: {describe_rules(report)}")
