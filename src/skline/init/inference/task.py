"""Choose the prediction task (binary, multiclass or regression) from the target's values."""

from typing import Any, NamedTuple, get_args

import pandas as pd

from skline.contract import rare_classes
from skline.contract.spec import Contract, Task, class_name
from skline.errors import SklineError
from skline.init.inference.column_guess import ColumnGuess

#: A class with fewer rows cannot be in all of the parts train, validation and test.
MIN_CLASS_ROWS = 5
#: A target of whole numbers with more distinct values is a number; with fewer, each value is a class.
MAX_INTEGER_CLASSES = 10
MAX_CLASSES = 200
#: Where one of two classes has a smaller share of the rows, few probabilities of it reach a threshold of 0.5.
RARE_SHARE = 0.3


class TaskChoice(NamedTuple):
    """The task, its classes if it has them, the reason, and what a person should check."""

    task: Task
    classes: list[Any] | None
    reason: str
    doubt: str | None = None


def choose_task(target: ColumnGuess, requested: str | None = None) -> TaskChoice:
    """Choose the task from the target's values, or verify that the target fits the task requested with --task.

    Raises
    ------
    SklineError
        If the target has no value, one class only, or fewer than `MIN_CLASS_ROWS` rows of a class; or if it does not
        fit the requested task.
    """
    values = target.values.dropna()
    if values.empty:
        raise SklineError(f"the target {target.name!r} has no value in any row; name another column with --target")
    counts = values.value_counts()
    if len(counts) == 1:
        raise SklineError(
            f"the target {target.name!r} is {counts.index[0]} in all {len(values):,} rows, so there is nothing to "
            "learn; add rows with other values, or name another column with --target"
        )
    try:
        choice = _requested_task(target, counts, requested) if requested is not None else _inferred_task(target, counts)
    except SklineError as error:
        raise SklineError(f"{error}{_near_miss(target)}") from None
    if choice.task == "regression":
        if len(values) < 4 * MIN_CLASS_ROWS:
            raise SklineError(
                f"only {len(values)} rows have a value of the target {target.name!r}; at least {4 * MIN_CLASS_ROWS} "
                "are needed, add rows"
            )
        return choice
    few = counts[counts < MIN_CLASS_ROWS]
    if len(few):
        listed = ", ".join(f"{value!r} in {rows}" for value, rows in few.head(5).items()) + (
            ", …" if len(few) > 5 else ""
        )
        numbers = target.kind in ("integer", "number")
        raise SklineError(
            f"the target {target.name!r} has {len(counts):,} classes, some of them in too few rows: {listed} (at least "
            f"{MIN_CLASS_ROWS} are needed); merge rare classes, or remove their values from the target"
            + (", or use --task regression" if numbers else "")
            + _near_miss(target)
        )
    return choice


def rare_class_remark(target: pd.Series, contract: Contract) -> str | None:
    """Say that the threshold is 0.5 although one of two classes has a small share of the rows; None if it has not."""
    if contract.task != "binary":
        return None
    shares = target.value_counts(normalize=True)
    if (share := float(shares.min())) >= RARE_SHARE:
        return None
    rare = _name_in_table(shares.index.tolist()[-1], contract)
    percent = f"{share:.0%}" if share >= 0.01 else f"{share:.1%}"
    return (
        f"{percent} of the rows have {contract.target.name} = {rare}, and the threshold is 0.5: `skline threshold` "
        "shows what others give, once the pipeline has run"
    )


def few_rows_remarks(target: pd.Series, contract: Contract) -> list[str]:
    """Name the classes with so few rows that the test part may lack them, with the rows of each and the remedy."""
    if contract.classes is None:
        return []
    counts = {value: int((target == value).sum()) for value in contract.classes}
    limit = min(rare_classes.MIN_CLASS_ROWS, rare_classes.RARE_SHARE * len(target))
    few = {value: rows for value, rows in counts.items() if rows < limit}
    if not few:
        return []
    name = contract.target.name
    listed = ", ".join(f"{_name_in_table(value, contract)} in {rows}" for value, rows in few.items())
    remark = (
        f"classes of {name} with few rows: {listed} of {len(target):,}; with fewer than {rare_classes.MIN_CLASS_ROWS}, "
        "the test part has a handful of them, so that metrics of the class are uncertain, and when rows change, a part "
        f"may lack it, and `dvc repro` stops. Better {rare_classes.rare_class_remedy(name)}"
    )
    return [remark]


def _name_in_table(value: Any, contract: Contract) -> str:
    """Return a class as the table writes it."""
    name = class_name(value)
    return contract.table_labels.get(name, name)


def _near_miss(target: ColumnGuess) -> str:
    """Say which cells keep a target of text from being numbers; empty if it is nothing else than text."""
    return f". Of the target, {target.near_miss}: correct or empty these cells" if target.near_miss else ""


def _inferred_task(target: ColumnGuess, counts: "pd.Series[int]") -> TaskChoice:
    """Choose the task by the target's kind and its number of distinct values."""
    distinct = len(counts)
    if target.kind == "boolean":
        return TaskChoice("binary", None, "the target is true or false")
    if target.kind == "string":
        return _classification(target, counts, f"the target has {distinct} distinct texts")
    if target.kind in ("date", "datetime"):
        raise SklineError(
            f"the target {target.name!r} is a {target.kind}, which can be neither a class nor a number; convert it to "
            "a number, such as the days until then, or name another column with --target"
        )
    if distinct == 2:
        return _classification(target, counts, "the target has two distinct values")
    if target.kind == "integer" and distinct <= MAX_INTEGER_CLASSES and counts.min() >= MIN_CLASS_ROWS:
        doubt = f"{target.name!r} has {distinct} distinct whole numbers; if they are amounts, use --task regression"
        choice = _classification(target, counts, f"the target has only {distinct} distinct whole numbers")
        return choice._replace(doubt=doubt)
    return TaskChoice("regression", None, f"the target is a number with {distinct:,} distinct values")


def _requested_task(target: ColumnGuess, counts: "pd.Series[int]", requested: str) -> TaskChoice:
    """Return the requested task; raises SklineError if the target does not fit it."""
    reason = f"set by --task {requested}"
    if requested not in get_args(Task):
        raise SklineError(f"--task {requested} does not exist; choose {', '.join(get_args(Task))}")
    if requested == "regression":
        if target.kind not in ("integer", "number"):
            raise SklineError(f"--task regression: the target {target.name!r} is a {target.kind}, not a number")
        return TaskChoice("regression", None, reason)
    if (requested == "binary") != (len(counts) == 2):
        raise SklineError(f"--task {requested}: the target {target.name!r} has {len(counts):,} distinct values")
    return TaskChoice("binary", None, reason) if target.kind == "boolean" else _classification(target, counts, reason)


def _classification(target: ColumnGuess, counts: "pd.Series[int]", reason: str) -> TaskChoice:
    """Return a task in which every distinct value is a class."""
    if len(counts) > MAX_CLASSES or len(counts) > counts.sum() / 2:
        raise SklineError(
            f"the target {target.name!r} has {len(counts):,} distinct values in {counts.sum():,} rows, too many for "
            "classes; merge rare values, or name another column with --target"
        )
    classes = sorted(value.item() if hasattr(value, "item") else value for value in counts.index)
    if target.kind == "integer":
        classes = [int(value) for value in classes]
    if len(classes) == 2:
        reason += f"; {classes[1]!r} is the positive class"
    return TaskChoice("binary" if len(classes) == 2 else "multiclass", classes, reason)
