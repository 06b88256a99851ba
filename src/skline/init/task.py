"""Which kind of prediction the target asks for."""

from typing import Any, NamedTuple, get_args

import pandas as pd

from skline.contract.spec import Task
from skline.errors import SklineError
from skline.init.guess import Guess

#: Fewer rows of a class than this cannot be divided into parts to learn from and to judge by.
HANDFUL = 5
#: A target of whole numbers with more different values is a number, with fewer it is a class.
MOST_INTEGER_CLASSES = 10
MOST_CLASSES = 200


class Decided(NamedTuple):
    """The task, its classes where it has them, why, and what is in doubt."""

    task: Task
    classes: list[Any] | None
    reason: str
    look: str | None = None


def decide(target: Guess, wanted: str | None = None) -> Decided:
    """Choose the task from the target's values; `wanted` is what the user says.

    Raises
    ------
    SklineError
        If there is nothing to learn: no value, one class, fewer than a handful of rows of a class; or the target
        cannot be what is wanted.
    """
    values = target.values.dropna()
    if values.empty:
        raise SklineError(f"the target {target.name!r} has no value in any row; name another column with --target")
    counts = values.value_counts()
    if len(counts) == 1:
        raise SklineError(
            f"the target {target.name!r} is {counts.index[0]!r} in all {len(values):,} rows: there is nothing to tell "
            "apart; give a table that holds other outcomes too, or name another column with --target"
        )
    decided = _wanted(target, counts, wanted) if wanted is not None else _guessed(target, counts)
    if decided.task == "regression":
        if len(values) < 4 * HANDFUL:
            raise SklineError(f"only {len(values)} rows have a {target.name!r}: too few to learn from; give more rows")
        return decided
    few = counts[counts < HANDFUL]
    if len(few):
        shown = ", ".join(f"{value!r} in {rows}" for value, rows in few.head(5).items()) + (
            ", …" if len(few) > 5 else ""
        )
        numbers = target.kind in ("integer", "number")
        raise SklineError(
            f"the target {target.name!r} has {len(counts):,} classes, and too few rows of some: {shown} (at least "
            f"{HANDFUL} are needed); join rare classes, or empty the target of these rows"
            + (", or say --task regression" if numbers else "")
        )
    return decided


def _guessed(target: Guess, counts: "pd.Series[int]") -> Decided:
    """Choose by the kind and the number of different values."""
    distinct = len(counts)
    if target.kind == "boolean":
        return Decided("binary", None, "the target is true or false")
    if target.kind == "string":
        return _classes(target, counts, f"the target has {distinct} different texts")
    if target.kind in ("date", "datetime"):
        raise SklineError(
            f"the target {target.name!r} is a {target.kind}, which is no class and no number; make a number of it, "
            "such as days until then, or name another column with --target"
        )
    if distinct == 2:
        return _classes(target, counts, "the target has two different values")
    if target.kind == "integer" and distinct <= MOST_INTEGER_CLASSES and counts.min() >= HANDFUL:
        look = (
            f"{target.name!r} has {distinct} whole numbers: if they are amounts and no classes, say --task regression"
        )
        return _classes(target, counts, f"the target has only {distinct} different whole numbers")._replace(look=look)
    return Decided("regression", None, f"the target is a number with {distinct:,} different values")


def _wanted(target: Guess, counts: "pd.Series[int]", wanted: str) -> Decided:
    """Do what the user says, if the target can be that."""
    if wanted not in get_args(Task):
        raise SklineError(f"--task {wanted}: choose {', '.join(get_args(Task))}")
    if wanted == "regression":
        if target.kind not in ("integer", "number"):
            raise SklineError(f"--task regression: the target {target.name!r} is a {target.kind}, not a number")
        return Decided("regression", None, "asked for")
    if (wanted == "binary") != (len(counts) == 2):
        raise SklineError(f"--task {wanted}: the target {target.name!r} has {len(counts):,} different values")
    return Decided("binary", None, "asked for") if target.kind == "boolean" else _classes(target, counts, "asked for")


def _classes(target: Guess, counts: "pd.Series[int]", reason: str) -> Decided:
    """Make every value a class."""
    if len(counts) > MOST_CLASSES or len(counts) > counts.sum() / 2:
        raise SklineError(
            f"the target {target.name!r} has {len(counts):,} different values in {counts.sum():,} rows: too many for "
            "classes; join rare ones, or name another column with --target"
        )
    classes = sorted(value.item() if hasattr(value, "item") else value for value in counts.index)
    if target.kind == "integer":
        classes = [int(value) for value in classes]
    look = None
    if len(classes) == 2:
        reason += f"; the probability reported first is that of {classes[1]!r}"
    return Decided("binary" if len(classes) == 2 else "multiclass", classes, reason, look)
