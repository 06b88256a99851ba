"""Infer everything that a project needs to know of a table, and render its files. Writes nothing into the project."""

import dataclasses
import datetime as dt
import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from skline import clock
from skline.contract.derive import derive_module
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.init import project
from skline.init.codegen.contract_source import render_contract
from skline.init.codegen.pipeline_source import render_pipeline
from skline.init.codegen.source_and_params import render_params, render_source
from skline.init.dry_run import dry_run, imported_source
from skline.init.estimator_choice import choose_estimator, requested_family
from skline.init.inference.column_guess import ColumnGuess
from skline.init.inference.features import describe_input, stand_in_remarks, whole_number_remarks
from skline.init.inference.gates import choose_gates, choose_monitored_margin
from skline.init.inference.leaks import find_leaks
from skline.init.inference.names import to_words
from skline.init.inference.retraining import Retraining, choose_retraining, feedback_remarks
from skline.init.inference.roles import (
    FoundTime,
    assign_ids,
    doubt_other_split,
    doubt_time,
    exclude_useless,
    find_group,
    find_time,
    is_complete,
)
from skline.init.inference.split import SplitChoice, choose_split
from skline.init.inference.table import InspectedTable, inspect_table
from skline.init.inference.task import TaskChoice, choose_task, few_rows_remarks, rare_class_remark
from skline.paths import PARAMS
from skline.sources import sql
from skline.sources.many_files import split_pattern
from skline.stages.progress import show_elapsed

#: The option that a remark names if the first line may be a row.
NO_HEADER = "--no-header"
#: Name of the column of `Labelled` that copies an input, for the split by time.
EVENT_TIME = "event_time"


@dataclass(frozen=True)
class InitOptions:
    """The command line of `skline init`."""

    table: str
    target: str
    task: str | None = None
    time: str | None = None
    group: str | None = None
    id: str | None = None
    name: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    query: str | None = None
    #: Further settings of the section `source`; those of a kind of source are a mapping under its name.
    settings: Mapping[str, Any] = field(default_factory=dict)
    force: bool = False
    member: str | None = None
    sheet: str | None = None
    skip: int | None = None
    skip_footer: int | None = None
    no_header: bool = False
    no_quotes: bool = False
    rename_duplicates: bool = False
    #: No fit of the comparison of estimators starts after these seconds; 0 compares none.
    seconds: float = 0.0
    #: The family of estimators to compare; None compares those of scikit-learn.
    estimator: str | None = None

    def source_settings(self) -> dict[str, Any]:
        """Return the settings of the section `source` that these options give."""
        names = ("delimiter", "encoding", "member", "sheet", "skip", "skip_footer")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        flags = {"header": not self.no_header, "quotes": not self.no_quotes}
        given |= {name: value for name, value in flags.items() if not value}
        given |= {name: value for name, value in self.settings.items() if not isinstance(value, Mapping)}
        return given | ({"rename_duplicates": True} if self.rename_duplicates else {})

    def address(self, uri: str) -> dict[str, Any]:
        """Return the section `source` as it is given, with an address for the table."""
        query = {} if self.query is None else {"query": self.query}
        return {"uri": uri} | query | dict(self.settings)


@dataclass
class InitPlan:
    """The files to write, by their path in the project, and what they were inferred from."""

    files: dict[Path, str]
    guesses: list[ColumnGuess]
    task: TaskChoice
    contract: Contract
    split: str
    retraining: str | None
    estimator: tuple[str, ...]
    remarks: list[str]
    #: For the time when the service has got labels: they come last under "Please check".
    retraining_remarks: list[str]
    n_rows: int
    name: str
    title: str


class DescribedColumns(NamedTuple):
    """What was inferred of the columns beyond their kinds.

    Attributes
    ----------
    target : ColumnGuess
    task : TaskChoice
    found_time : FoundTime or None
        The column to split by time with.
    event_time : ColumnGuess or None
        Its copy in `Labelled`.
    """

    target: ColumnGuess
    task: TaskChoice
    found_time: FoundTime | None
    event_time: ColumnGuess | None

    @property
    def time(self) -> ColumnGuess | None:
        """The column to split by time with."""
        return None if self.found_time is None else self.found_time.column


class TriedContract(NamedTuple):
    """The text of contract.py, the contract, the rows that it accepts, and what a person should check."""

    text: str
    contract: Contract
    rows: pd.DataFrame
    remarks: list[str]


def make_plan(path: Path, uri: str, options: InitOptions, now: dt.datetime | None = None) -> InitPlan:
    """Infer columns, task, split, gates and policy of retraining, render the files, and try the contract on the table.

    Parameters
    ----------
    path : Path
        The local copy of the table.
    uri : str
        What `source.uri` in params.yaml will be.
    options : InitOptions
    now : datetime, optional
        UTC; the current time if it is not given.

    Raises
    ------
    SklineError
        If no model can be trained on the table, or an option does not fit it.
    """
    family = requested_family(options.estimator)
    with show_elapsed("read the table and infer its columns"):
        table = inspect_table(path, options.address(uri), options.source_settings())
    table_name = _table_name(uri, options.query)
    columns = _describe_columns(table, options)
    try_contract = partial(_try_contract, table, columns, table_name)
    tried, chosen = _choose_split(table.guesses, columns, try_contract)
    doubt_time(columns.found_time, chosen.settings["kind"])
    choice = choose_estimator(chosen.training, tried.contract, chosen.settings, options.seconds, family)
    if _exclude_trends(table.guesses, choice.excluded):  # of a split by time, which does not depend on other columns
        tried = try_contract()
    contract, rows = tried.contract, tried.rows
    newest = rows[contract.by_role("time").name].max().to_pydatetime() if contract.with_role("time") else None
    retraining = choose_retraining(chosen.settings, newest, (now or clock.now()).replace(tzinfo=None))
    name = _project_name(options.name or table_name.split(".")[0])
    title = f"{to_words(name)}: {to_words(columns.target.name)}"
    return InitPlan(
        files={
            project.CONTRACT: tried.text,
            project.SOURCE: _render_source(columns),
            project.PIPELINE: render_pipeline(contract, choice.estimator),
            PARAMS: _render_params(table, tried, chosen, retraining, name, title),
        },
        guesses=table.guesses,
        task=columns.task,
        contract=contract,
        split=f"{chosen.settings['kind']} ({chosen.reason})",
        retraining=retraining.line,
        estimator=choice.lines,
        remarks=_remarks(table, tried, chosen),
        retraining_remarks=[*retraining.remarks, *feedback_remarks(contract)],
        n_rows=table.n_rows,
        name=name,
        title=title,
    )


def _describe_columns(table: InspectedTable, options: InitOptions) -> DescribedColumns:
    """Declare the target, give every column its role, and describe the inputs."""
    target = _column(table, options.target, "--target")
    for option in ("time", "group", "id"):
        if (requested := getattr(options, option)) is not None:
            _column(table, requested, f"--{option}")
    task = _declare_target(target, options.task)
    with show_elapsed("look for ids and leaks"):
        found_time = _assign_roles(table, target, task, options)
    event_time = _event_time_column(table.guesses, None if found_time is None else found_time.column)
    for guess in table.guesses:
        if guess.role == "input":
            describe_input(guess)
    return DescribedColumns(target, task, found_time, event_time)


def _choose_split(
    guesses: list[ColumnGuess], columns: DescribedColumns, try_contract: Callable[[], TriedContract]
) -> tuple[TriedContract, SplitChoice]:
    """Try the contract, and choose the split; inputs that have no value in the training part are excluded."""
    by_time, by_group = columns.time is not None, any(guess.role == "group" for guess in guesses)
    with show_elapsed("try the contract on the table"):
        tried = try_contract()
    chosen = choose_split(tried.rows, tried.contract, by_time=by_time, by_group=by_group)
    while _exclude_empty_in_training(guesses, chosen.training):
        tried = try_contract()
        chosen = choose_split(tried.rows, tried.contract, by_time=by_time, by_group=by_group)
    return tried, chosen


def _render_source(columns: DescribedColumns) -> str:
    """Render src/model/source.py, which copies the time of the rows for the split."""
    if columns.time is None or columns.event_time is None:
        return render_source(None, None)
    return render_source(columns.event_time.name, columns.time.name)


def _render_params(
    table: InspectedTable, tried: TriedContract, chosen: SplitChoice, retraining: Retraining, name: str, title: str
) -> str:
    """Render params.yaml, with gates that fit the size of the test part."""
    task, test_rows = tried.contract.task, len(tried.rows) // 5
    target = tried.rows[tried.contract.target.name]
    gates, margin = choose_gates(target, task, test_rows), choose_monitored_margin(target, task)
    source = {**table.source, **retraining.source}
    return render_params(name, title, source, chosen.settings, gates, test_rows, task, retraining.retrain, margin)


def _remarks(table: InspectedTable, tried: TriedContract, chosen: SplitChoice) -> list[str]:
    """Return what a person should check of the table, the target and the inputs."""
    target = tried.rows[tried.contract.target.name]
    return [
        *table.remarks,
        *tried.remarks,
        *filter(None, (chosen.doubt, rare_class_remark(target, tried.contract))),
        *few_rows_remarks(target, tried.contract),
        *whole_number_remarks(table.guesses),
        *stand_in_remarks(table.guesses, table.cells),
    ]


def _declare_target(target: ColumnGuess, requested: str | None) -> TaskChoice:
    """Make a column the target: set its role, classes, notation and kind; return the task."""
    target.role = "target"
    task = choose_task(target, requested)
    target.choices = task.classes
    if target.labels is not None and target.labels.lower() != "true/false":
        target.notation = target.labels  # /predict?labels=table answers in these words
    target.reasons.append(f"{task.task}: {task.reason}")
    target.doubts += [task.doubt] if task.doubt else []
    if task.task == "regression" and target.kind == "integer":
        target.kind, target.values = "number", target.values.astype("float64")
    return task


def _try_contract(table: InspectedTable, columns: DescribedColumns, table_name: str) -> TriedContract:
    """Render the contract, and run the first stages with it."""
    text = render_contract(table.guesses, columns.target, columns.event_time, table_name)
    with imported_source(text) as module:
        contract = derive_module(module)
        rows, remarks = dry_run(table, module, contract, columns.event_time, columns.time)
    return TriedContract(text, contract, rows, remarks)


def _exclude_empty_in_training(guesses: list[ColumnGuess], training: pd.DataFrame) -> bool:
    """Exclude inputs that have no value in the training part, as a column that came later; returns whether any is."""
    empty = [guess for guess in guesses if guess.role == "input" and training[guess.name].isna().all()]
    for guess in empty:
        filled = int(guess.values.notna().sum())
        guess.assign_role("excluded", f"empty in the training part of the split, filled in {filled:,} other rows")
        guess.doubts.append("excluded, because it is empty in every row of the training part; add it when more have it")
    if empty and not any(guess.role == "input" for guess in guesses):
        raise SklineError("every input is empty in the training part of the split; use --time with another column")
    return bool(empty)


def _exclude_trends(guesses: list[ColumnGuess], names: tuple[str, ...]) -> bool:
    """Exclude inputs that are functions of time; returns whether there are any."""
    for guess in guesses:
        if guess.name in names:
            guess.assign_role("excluded", "a function of time, and the model predicts later rows better without it")
    return bool(names)


def _column(table: InspectedTable, name: str, option: str) -> ColumnGuess:
    """Return the column `name`; raises SklineError with the nearest name if there is none."""
    for guess in table.guesses:
        if guess.name == name:
            return guess
    names = [guess.name for guess in table.guesses]
    folded = {other.strip().lower(): other for other in reversed(names)}
    near = folded.get(name.strip().lower()) or next(iter(difflib.get_close_matches(name, names, n=1)), None)
    listed = ", ".join(map(repr, names[:30])) + (f" and {len(names) - 30} more" if len(names) > 30 else "")
    without_header = next((f". {remark}" for remark in table.remarks if NO_HEADER in remark), "")
    raise SklineError(
        f"{option}: the table has no column {name!r}"
        + (f"; did you mean {near!r}?" if near else ".")
        + f" The columns are {listed}{without_header}"
    )


def _assign_roles(
    table: InspectedTable, target: ColumnGuess, task: TaskChoice, options: InitOptions
) -> FoundTime | None:
    """Give every column its role; returns the column to split by time with, or None."""
    guesses = table.guesses
    found = find_time(guesses, options.time)
    time = None if found is None else found.column
    if options.time is not None and time is None:
        column = _column(table, options.time, "--time")
        raise SklineError(
            f"--time: {options.time!r} is not a date but {column.kind} ({column.reasons[0]}); name a column of dates"
        )
    if time is not None and options.time is not None and not is_complete(time):
        raise SklineError(
            f"--time: {options.time!r} is missing in {int(time.values.isna().sum()):,} rows; fill it, or omit --time"
        )
    group = find_group(guesses, options.group)
    if group is not None and options.time is not None and options.group is None:
        # An explicit option takes precedence over an inferred role, and a group must not be in two parts of a split.
        group.assign_role("excluded", f"{group.reasons[-1]}; the split is by time, because of --time")
        group.doubts[-1:] = [f"if rows with the same value must stay together in the split, add --group {group.name!r}"]
        group = None
    assign_ids(guesses, options.id, table.repeated)
    exclude_useless(guesses, target, time)
    inputs = [guess for guess in guesses if guess.role == "input"]
    for leak in find_leaks(inputs, target, is_class=task.task != "regression"):
        for guess in guesses:
            if guess.name in leak.columns:
                guess.assign_role("leak", leak.reason)
    if not any(guess.role == "input" for guess in guesses):
        others = "; ".join(
            f"{guess.name}: {guess.role}, {guess.reasons[-1]}" for guess in guesses if guess.role != "target"
        )
        raise SklineError(
            f"no column is left to predict {target.name!r} from ({others or 'the table has no other column'}); add "
            "columns whose values are known before the target is"
        )
    if options.time or (time is not None and time.role == "input" and group is None):
        return found
    doubt_other_split(guesses, "random" if group is None else "group")
    return None


def _event_time_column(guesses: list[ColumnGuess], time: ColumnGuess | None) -> ColumnGuess | None:
    """Return a copy of the input `time` under a free name: an input cannot have the role "time" as well."""
    if time is None:
        return None
    existing = {guess.name for guess in guesses}
    name = EVENT_TIME
    while name in existing:
        name += "_"
    return dataclasses.replace(
        time, name=name, role="time", reasons=[f"copy of {time.name!r}, for the split"], doubts=[], notation=None
    )


def _table_name(uri: str, query: str | None) -> str:
    """Return the name of a file, of the folder of a pattern, or of a database."""
    return Path(split_pattern(uri)[0]).name if query is None else sql.database_name(uri)


def _project_name(name: str) -> str:
    """Turn a name into one that container images and registered models may have."""
    text = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:64]
    return text or "model"
