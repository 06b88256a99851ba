"""Plans of linear models: by BLAS for a dense row, as scikit-learn calls it; term by term for a sparse row."""

from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.code_writer import BatchContext, CodeWriter, Expression
from skline.scoring.estimators.base import BinaryLink, EstimatorPlan, Margin, RegressionLink, SoftmaxLink
from skline.scoring.expressions import LookupTable
from skline.scoring.matrix import Matrix, as_floats, check_names
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import Exactness, FloatArray, RowRejected, UnsupportedStep


def read_linear_regressor(checks: RowChecks, estimator: Any, matrix: Matrix) -> EstimatorPlan:  # noqa: ARG001
    """Read a regressor that uses LinearModel's predict."""
    return EstimatorPlan(_linear_margin(estimator, matrix), RegressionLink())


def read_logistic_regression(checks: RowChecks, estimator: Any, matrix: Matrix) -> EstimatorPlan:  # noqa: ARG001
    """Read a LogisticRegression: two classes by the logistic function, more by softmax."""
    return EstimatorPlan(_linear_margin(estimator, matrix), logistic_link(estimator))


def logistic_link(estimator: Any) -> BinaryLink | SoftmaxLink:
    """Return the link of a LogisticRegression."""
    classes = estimator.classes_
    return BinaryLink(classes) if len(classes) == 2 else SoftmaxLink(classes)


def _linear_margin(estimator: Any, matrix: Matrix) -> "DenseLinearMargin | SparseLinearMargin":
    check_names(matrix, estimator)
    expressions = as_floats(matrix, estimator, allow_float32=True)
    coefficients = estimator.coef_
    n_targets = 1 if coefficients.ndim == 1 else len(coefficients)
    if coefficients.dtype != np.float64 or (n_targets > 1 and not hasattr(estimator, "classes_")):
        raise UnsupportedStep(
            f"{type(estimator).__name__} has coefficients of shape {coefficients.shape} and "
            f"{coefficients.dtype}; plans support one target and float64"
        )
    if matrix.container == "sparse":
        intercept = np.broadcast_to(estimator.intercept_, n_targets)
        return SparseLinearMargin(expressions, np.atleast_2d(coefficients), intercept)
    return DenseLinearMargin(expressions, coefficients, estimator.intercept_)


class DenseLinearMargin(Margin):
    """X @ coefficients + intercept by BLAS, whose last bits depend on the shapes that it gets.

    The rows of a batch are multiplied one by one, in one call (`np.matmul` over a stack of one-row matrices): each row
    gets the bits that it gets when it is scored alone, which one product of the whole batch would not give.
    """

    exactness: Exactness = "ulp"

    def __init__(self, expressions: tuple[Expression, ...], coefficients: FloatArray, intercept: Any) -> None:
        self.expressions = expressions
        self.columns = coefficients if coefficients.ndim == 1 else coefficients.T
        self.intercept = intercept
        self.is_scalar = coefficients.ndim == 1 or len(coefficients) == 1

    @override
    def emit(self, writer: CodeWriter) -> str:
        row = ", ".join(_list_items(writer, self.expressions))
        return writer.assign(f"{writer.constant(self._score_one_row)}([{row}])")

    def _score_one_row(self, row: list[float]) -> Any:
        values = np.array([row])
        margin = (values @ self.columns + self.intercept).ravel()
        if not np.isfinite(margin).all():
            _reject_unless_finite(values)
        return margin.item() if self.is_scalar else margin

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        values = batch.matrix(self.expressions)
        _reject_unless_finite(values)
        stacked = np.matmul(values[:, None, :], self.columns) + self.intercept
        margins = stacked.reshape(batch.size, -1)
        return margins[:, 0] if self.is_scalar else margins


class SparseLinearMargin(Margin):
    """The products of a row's non-zero entries added one by one in column order, as SciPy's csr does."""

    exactness: Exactness = "bits"

    def __init__(self, expressions: tuple[Expression, ...], coefficients: FloatArray, intercept: FloatArray) -> None:
        self.expressions = expressions
        self.coefficients = coefficients  # (targets, features)
        self.intercept = intercept
        self.is_scalar = len(coefficients) == 1
        self.terms = _terms(expressions, coefficients)

    @override
    def emit(self, writer: CodeWriter) -> str:
        total = writer.assign("0.0" if self.is_scalar else writer.constant(np.zeros(len(self.coefficients))))
        for expression, factors in self.terms:
            if isinstance(expression, LookupTable):
                products = factors[:, 0].tolist() if self.is_scalar else list(factors)
                term = f"{writer.constant(products)}[{writer.emit(expression.index)}]"
            else:
                factor = factors[0, 0].item() if self.is_scalar else factors[0]
                term = f"{writer.emit(expression)} * {writer.constant(factor)}"
            total = writer.assign(f"{total} + {term}")
        intercept = self.intercept[0].item() if self.is_scalar else self.intercept
        margin = writer.assign(f"{total} + {writer.constant(intercept)}")
        is_finite = f"{margin} - {margin} == 0.0" if self.is_scalar else f"{writer.constant(_all_finite)}({margin})"
        row = ", ".join(_list_items(writer, self.expressions))
        writer.lines.append(f"if not ({is_finite}): {writer.constant(_reject_unless_finite)}([{row}])")
        return margin

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        totals = np.zeros((batch.size, len(self.coefficients)))
        with np.errstate(all="ignore"):
            for expression, factors in self.terms:
                if isinstance(expression, LookupTable):
                    totals += factors[batch.evaluate(expression.index)]
                else:
                    totals += batch.evaluate(expression)[:, None] * factors
            totals += self.intercept
        if not np.isfinite(totals).all():
            _reject_unless_finite(batch.matrix(self.expressions))
        return totals[:, 0] if self.is_scalar else totals


def _terms(expressions: tuple[Expression, ...], coefficients: FloatArray) -> list[tuple[Expression, FloatArray]]:
    """Return expressions with their factors, shape (1, targets); lookup tables with products, (size, targets).

    Adjacent tables over one index are one term where each index has at most one non-zero entry among them (one-hot
    columns): adding zero changes nothing.
    """
    terms: list[tuple[Expression, FloatArray]] = []
    occupied = np.zeros(0, dtype=bool)
    for expression, column in zip(expressions, coefficients.T, strict=True):
        if not isinstance(expression, LookupTable):
            terms.append((expression, column.reshape(1, -1)))
            continue
        with np.errstate(all="ignore"):
            products = expression.entries[:, None] * column
        # A product with zero is zero, or NaN for a coefficient that is not finite: csr never computes it.
        products[expression.entries == 0] = 0.0
        is_nonzero = expression.entries != 0
        previous = terms[-1][0] if terms else None
        is_same_index = isinstance(previous, LookupTable) and previous.index is expression.index
        if is_same_index and not np.any(occupied & is_nonzero):
            terms[-1] = expression, terms[-1][1] + products
            occupied = occupied | is_nonzero
        else:
            terms.append((expression, products))
            occupied = is_nonzero
    return terms


def _list_items(writer: CodeWriter, expressions: tuple[Expression, ...]) -> list[str]:
    """Return the items of a list display; adjacent tables over one index become one lookup of a tuple."""
    items: list[str] = []
    position = 0
    while position < len(expressions):
        expression = expressions[position]
        if not isinstance(expression, LookupTable):
            items.append(writer.emit(expression))
            position += 1
            continue
        block = []
        while position < len(expressions):
            neighbour = expressions[position]
            if not isinstance(neighbour, LookupTable) or neighbour.index is not expression.index:
                break
            block.append(neighbour.entries.tolist())
            position += 1
        items.append(f"*{writer.constant(list(zip(*block, strict=True)))}[{writer.emit(expression.index)}]")
    return items


def _all_finite(values: FloatArray) -> bool:
    return bool(np.isfinite(values).all())


def _reject_unless_finite(values: Any) -> None:
    """Raise RowRejected where check_array would raise; a sum that merely overflowed passes."""
    if not np.isfinite(values).all():
        raise RowRejected("a linear model gets a missing or infinite value, which scikit-learn rejects; impute it")
