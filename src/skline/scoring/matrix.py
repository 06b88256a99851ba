"""What passes from step to step while a pipeline is read: cells, and how scikit-learn would hold them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from skline.contract.spec import Column
from skline.scoring.answers import NotPlannable, RowRefused
from skline.scoring.cells import NUMBERS, FlagCode, Input, Table, as_float
from skline.scoring.source import Batch, Cell, Code, Source
from skline.scoring.texts import Texts, each

#: float64 values from here on become infinite as float32.
FLOAT32_LIMIT = float(np.finfo(np.float32).max) + 2.0**103

Rule = Literal["no infinity", "finite", "float32 or missing", "float32", "not missing"]


@dataclass(frozen=True)
class Matrix:
    """Cells side by side, and the container that holds them between two steps.

    `names` are the column names of a frame. `mixed` says that scikit-learn would see an object array: one
    that turns into float64 wherever numbers are asked for, but that encoders and imputers treat by its own
    rules.
    """

    cells: tuple[Cell, ...]
    container: Literal["frame", "array", "sparse"]
    names: tuple[str, ...] | None = None
    mixed: bool = False

    @property
    def dtypes(self) -> set[str]:
        """The dtypes that occur."""
        return {cell.dtype for cell in self.cells}


@dataclass
class Reading:
    """What is gathered while a pipeline is read: rules that a row must keep or be refused."""

    rules: dict[tuple[int, Rule], Cell] = field(default_factory=dict)
    #: Codes that refuse values; they must be computed even where nothing comes of them.
    refusing: list[Code] = field(default_factory=list)

    def require(self, cells: Sequence[Cell], rule: Rule) -> None:
        """Refuse rows in which one of the cells breaks the rule."""
        for cell in cells:
            if not _always(cell, rule):
                self.rules[id(cell), rule] = cell

    def emit(self, source: Source) -> None:
        """Write the checks of one row."""
        for code in self.refusing:
            source.of(code)
        for (_, rule), cell in self.rules.items():
            refusal = source.constant(_refuse(rule))
            source.lines.append(f"if {CONDITIONS[rule].format(x=source.of(cell))}: {refusal}()")

    def check(self, batch: Batch) -> None:
        """Raise RowRefused if one of the batch's rows breaks a rule."""
        for code in self.refusing:
            batch.of(code)
        for (_, rule), cell in self.rules.items():
            if np.any(_broken(batch.of(cell), rule)):
                _refuse(rule)()


#: Python conditions under which a float breaks each rule.
CONDITIONS: dict[Rule, str] = {
    "no infinity": "{x} in (inf, -inf)",
    "finite": "{x} - {x} != 0.0",
    "not missing": "{x} is None or {x} != {x}",
    "float32 or missing": f"not -{FLOAT32_LIMIT!r} < {{x}} < {FLOAT32_LIMIT!r} and {{x}} == {{x}}",
    "float32": f"not -{FLOAT32_LIMIT!r} < {{x}} < {FLOAT32_LIMIT!r}",
}


def _broken(values: Any, rule: Rule) -> Any:
    """Where float64 values break the rule: bool of shape (n,)."""
    match rule:
        case "no infinity":
            return np.isinf(values)
        case "not missing":
            if isinstance(values, list | Texts):
                return each(values, lambda texts: [value is None for value in texts])
            return np.isnan(values)
        case "finite":
            return ~np.isfinite(values)
        case "float32 or missing":
            return np.abs(values) >= FLOAT32_LIMIT
        case "float32":
            return ~(np.abs(values) < FLOAT32_LIMIT)


def _always(cell: Cell, rule: Rule) -> bool:
    """Whether no row can break the rule."""
    if isinstance(cell, Table):
        return not np.any(_broken(cell.entries.astype(np.float64), rule))
    return cell.dtype != "float64" and not (cell.dtype == "str" and rule == "not missing")


def _refuse(rule: Rule) -> Callable[[], None]:
    """Return a function that raises RowRefused for the rule."""

    def refuse() -> None:
        raise RowRefused(f"a value breaks the rule {rule!r} of a step of the pipeline, which would raise; correct it")

    return refuse


def inputs(columns: Sequence[Column]) -> Matrix:
    """The frame that the pipeline is given: one cell for each column of the contract."""
    cells: list[Cell] = []
    for position, column in enumerate(columns):
        cell = Input(position, column.storage)
        cells.append(Table(FlagCode(cell), np.array([False, True])) if column.storage == "bool" else cell)
    return Matrix(tuple(cells), "frame", tuple(column.name for column in columns))


def numbers(matrix: Matrix, step: Any, *, float32: bool = False) -> tuple[Cell, ...]:
    """Return the matrix's cells as float64, as check_array(dtype=float64) would read them.

    Raises
    ------
    NotPlannable
        For text and datetimes, and unless `float32` allows it for a matrix that scikit-learn would keep
        in float32, computing with less precision.
    """
    for cell in matrix.cells:
        if cell.dtype not in NUMBERS:
            raise NotPlannable(f"{type(step).__name__} is given a column of {cell.dtype}, where numbers are planned")
    if not float32 and matrix.dtypes == {"float32"}:
        raise NotPlannable(f"{type(step).__name__} computes in float32; give its encoder dtype=float64")
    return tuple(as_float(cell) for cell in matrix.cells)


def check_names(matrix: Matrix, step: Any) -> None:
    """Raise NotPlannable where scikit-learn would raise: a frame whose columns are not those of `fit`."""
    fitted = getattr(step, "feature_names_in_", None)
    if matrix.container == "frame" and fitted is not None and tuple(fitted) != matrix.names:
        raise NotPlannable(
            f"{type(step).__name__} was fitted on the columns {list(fitted)}, the contract gives "
            f"{matrix.names}; fit it on the contract's inputs in their order"
        )
    width = getattr(step, "n_features_in_", len(matrix.cells))
    if width != len(matrix.cells):
        raise NotPlannable(f"{type(step).__name__} was fitted on {width} columns, it is given {len(matrix.cells)}")
