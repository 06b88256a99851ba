"""Linear forms: BLAS over a dense row, as scikit-learn calls it; over a sparse one, one by one."""

from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.answers import Exactness, FloatArray, NotPlannable, RowRefused
from skline.scoring.cells import Table
from skline.scoring.matrix import Matrix, Reading, check_names, numbers
from skline.scoring.model import Binary, Margin, Model, Softmax, Value
from skline.scoring.source import Batch, Cell, Source


def read_linear_regressor(reading: Reading, estimator: Any, matrix: Matrix) -> Model:  # noqa: ARG001
    """The regressors that share LinearModel's predict."""
    return Model(_margin(estimator, matrix), Value())


def read_logistic_regression(reading: Reading, estimator: Any, matrix: Matrix) -> Model:  # noqa: ARG001
    """LogisticRegression: two classes by the logistic function, more by softmax."""
    classes = estimator.classes_
    return Model(_margin(estimator, matrix), Binary(classes) if len(classes) == 2 else Softmax(classes))


def _margin(estimator: Any, matrix: Matrix) -> "DenseForm | SparseForm":
    check_names(matrix, estimator)
    cells = numbers(matrix, estimator, float32=True)
    coefficients = estimator.coef_
    targets = 1 if coefficients.ndim == 1 else len(coefficients)
    if coefficients.dtype != np.float64 or (targets > 1 and not hasattr(estimator, "classes_")):
        raise NotPlannable(
            f"{type(estimator).__name__} has coefficients of shape {coefficients.shape} and "
            f"{coefficients.dtype}; a plan has one target and float64"
        )
    if matrix.container == "sparse":
        return SparseForm(cells, np.atleast_2d(coefficients), np.broadcast_to(estimator.intercept_, targets))
    return DenseForm(cells, coefficients, estimator.intercept_)


class DenseForm(Margin):
    """X @ coefficients + intercept by BLAS, whose last bits depend on the shapes it is given.

    Many rows are multiplied one by one, by one call (`np.matmul` over a stack of one-row matrices): each
    gets the bits that it would get alone, which is not what one product of the whole batch gives.
    """

    exactness: Exactness = "ulp"

    def __init__(self, cells: tuple[Cell, ...], coefficients: FloatArray, intercept: Any) -> None:
        self.cells = cells
        self.columns = coefficients if coefficients.ndim == 1 else coefficients.T
        self.intercept = intercept
        self.scalar = coefficients.ndim == 1 or len(coefficients) == 1

    @override
    def emit(self, source: Source) -> str:
        row = ", ".join(_grouped(source, self.cells))
        return source.assign(f"{source.constant(self._one_row)}([{row}])")

    def _one_row(self, row: list[float]) -> Any:
        values = np.array([row])
        margin = (values @ self.columns + self.intercept).ravel()
        if not np.isfinite(margin).all():
            _refuse_unless_finite(values)
        return margin.item() if self.scalar else margin

    @override
    def values(self, batch: Batch) -> Any:
        values = batch.matrix(self.cells)
        _refuse_unless_finite(values)
        stacked = np.matmul(values[:, None, :], self.columns) + self.intercept
        margins = stacked.reshape(batch.size, -1)
        return margins[:, 0] if self.scalar else margins


class SparseForm(Margin):
    """The products of a row's non-zero entries added one by one in column order, as scipy's csr does."""

    exactness: Exactness = "bits"

    def __init__(self, cells: tuple[Cell, ...], coefficients: FloatArray, intercept: FloatArray) -> None:
        self.cells = cells
        self.coefficients = coefficients  # (targets, features)
        self.intercept = intercept
        self.scalar = len(coefficients) == 1
        self.terms = _terms(cells, coefficients)

    @override
    def emit(self, source: Source) -> str:
        total = source.assign("0.0" if self.scalar else source.constant(np.zeros(len(self.coefficients))))
        for cell, part in self.terms:
            if isinstance(cell, Table):
                products = part[:, 0].tolist() if self.scalar else list(part)
                term = f"{source.constant(products)}[{source.of(cell.code)}]"
            else:
                factor = part[0, 0].item() if self.scalar else part[0]
                term = f"{source.of(cell)} * {source.constant(factor)}"
            total = source.assign(f"{total} + {term}")
        offset = self.intercept[0].item() if self.scalar else self.intercept
        margin = source.assign(f"{total} + {source.constant(offset)}")
        finite = f"{margin} - {margin} == 0.0" if self.scalar else f"{source.constant(_all_finite)}({margin})"
        row = ", ".join(_grouped(source, self.cells))
        source.lines.append(f"if not ({finite}): {source.constant(_refuse_unless_finite)}([{row}])")
        return margin

    @override
    def values(self, batch: Batch) -> Any:
        totals = np.zeros((batch.size, len(self.coefficients)))
        with np.errstate(all="ignore"):
            for cell, part in self.terms:
                if isinstance(cell, Table):
                    totals += part[batch.of(cell.code)]
                else:
                    totals += batch.of(cell)[:, None] * part
            totals += self.intercept
        if not np.isfinite(totals).all():
            _refuse_unless_finite(batch.matrix(self.cells))
        return totals[:, 0] if self.scalar else totals


def _terms(cells: tuple[Cell, ...], coefficients: FloatArray) -> list[tuple[Cell, FloatArray]]:
    """Cells with what they are multiplied by, shape (1, targets); tables with products, (size, targets).

    Neighbouring tables over one code of which each code has at most one entry that is not zero (one-hot
    columns) are one term: adding zero changes nothing.
    """
    terms: list[tuple[Cell, FloatArray]] = []
    taken = np.zeros(0, dtype=bool)
    for cell, column in zip(cells, coefficients.T, strict=True):
        if not isinstance(cell, Table):
            terms.append((cell, column.reshape(1, -1)))
            continue
        with np.errstate(all="ignore"):
            products = cell.entries[:, None] * column
        # The product with zero is zero, or NaN for a coefficient that is not finite, which csr never meets.
        products[cell.entries == 0] = 0.0
        used = cell.entries != 0
        previous = terms[-1][0] if terms else None
        if isinstance(previous, Table) and previous.code is cell.code and not np.any(taken & used):
            terms[-1] = cell, terms[-1][1] + products
            taken = taken | used
        else:
            terms.append((cell, products))
            taken = used
    return terms


def _grouped(source: Source, cells: tuple[Cell, ...]) -> list[str]:
    """Items of a list display: neighbouring tables over one code become one lookup of a tuple."""
    items: list[str] = []
    index = 0
    while index < len(cells):
        cell = cells[index]
        if not isinstance(cell, Table):
            items.append(source.of(cell))
            index += 1
            continue
        block = []
        while index < len(cells):
            neighbour = cells[index]
            if not isinstance(neighbour, Table) or neighbour.code is not cell.code:
                break
            block.append(neighbour.entries.tolist())
            index += 1
        items.append(f"*{source.constant(list(zip(*block, strict=True)))}[{source.of(cell.code)}]")
    return items


def _all_finite(values: FloatArray) -> bool:
    return bool(np.isfinite(values).all())


def _refuse_unless_finite(values: Any) -> None:
    """Raise RowRefused where check_array would; a sum that merely overflowed passes."""
    if not np.isfinite(values).all():
        raise RowRefused("a linear form is given a missing or infinite value, which scikit-learn refuses; impute it")
