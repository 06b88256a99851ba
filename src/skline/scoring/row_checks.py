"""The conditions under which a pipeline rejects a row, collected while its plan is built."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from skline.scoring.code_writer import BatchContext, CodeWriter, Expression, TableIndex
from skline.scoring.expressions import LookupTable
from skline.scoring.scores import RowRejected
from skline.scoring.string_column import StringColumn, map_distinct

#: float64 values from this one on become infinite as float32.
FLOAT32_LIMIT = float(np.finfo(np.float32).max) + 2.0**103

Rule = Literal["no infinity", "finite", "float32 or missing", "float32", "not missing"]

#: Python conditions under which a value breaks each rule.
BROKEN_CONDITIONS: dict[Rule, str] = {
    "no infinity": "{x} in (inf, -inf)",
    "finite": "{x} - {x} != 0.0",
    "not missing": "{x} is None or {x} != {x}",
    "float32 or missing": f"not -{FLOAT32_LIMIT!r} < {{x}} < {FLOAT32_LIMIT!r} and {{x}} == {{x}}",
    "float32": f"not -{FLOAT32_LIMIT!r} < {{x}} < {FLOAT32_LIMIT!r}",
}


@dataclass
class RowChecks:
    """The rules that a row must satisfy; a row that breaks one is rejected, as the pipeline would reject it.

    Attributes
    ----------
    rules : list of (expression, rule), each once
    rejecting_indices : list of TableIndex
        Indices that reject unknown values. They must be computed even where no output depends on them.
    """

    rules: list[tuple[Expression, Rule]] = field(default_factory=list)
    rejecting_indices: list[TableIndex] = field(default_factory=list)
    _known: set[tuple[int, Rule]] = field(default_factory=set, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the ids of expressions: they differ in each process, and equal plans must have equal bytes."""
        return self.__dict__ | {"_known": set()}

    def require(self, expressions: Sequence[Expression], rule: Rule) -> None:
        """Reject rows in which one of the expressions breaks the rule."""
        for expression in expressions:
            if (id(expression), rule) not in self._known and not _always_satisfies(expression, rule):
                self._known.add((id(expression), rule))
                self.rules.append((expression, rule))

    def emit(self, writer: CodeWriter) -> None:
        """Write the checks of one row."""
        for index in self.rejecting_indices:
            writer.emit(index)
        for expression, rule in self.rules:
            reject = writer.constant(_rejection(rule))
            writer.lines.append(f"if {BROKEN_CONDITIONS[rule].format(x=writer.emit(expression))}: {reject}()")

    def check_batch(self, batch: BatchContext) -> None:
        """Raise RowRejected if one of the batch's rows breaks a rule."""
        for index in self.rejecting_indices:
            batch.evaluate(index)
        for expression, rule in self.rules:
            if np.any(_broken(batch.evaluate(expression), rule)):
                _rejection(rule)()


def _always_satisfies(expression: Expression, rule: Rule) -> bool:
    """Return whether no row can break the rule."""
    if isinstance(expression, LookupTable):
        return not np.any(_broken(expression.entries.astype(np.float64), rule))
    return expression.dtype != "float64" and not (expression.dtype == "str" and rule == "not missing")


def _broken(values: Any, rule: Rule) -> Any:
    """Return where values break the rule: bool of shape (n,)."""
    match rule:
        case "no infinity":
            return np.isinf(values)
        case "not missing":
            if isinstance(values, list | StringColumn):
                return map_distinct(values, lambda strings: [value is None for value in strings])
            return np.isnan(values)
        case "finite":
            return ~np.isfinite(values)
        case "float32 or missing":
            return np.abs(values) >= FLOAT32_LIMIT
        case "float32":
            return ~(np.abs(values) < FLOAT32_LIMIT)


def _rejection(rule: Rule) -> Callable[[], None]:
    """Return a function that raises RowRejected for the rule."""

    def reject() -> None:
        raise RowRejected(f"a value breaks the rule {rule!r} of a step of the pipeline, which would raise; correct it")

    return reject
