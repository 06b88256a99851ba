"""TextFeatures: one vector a text, by the function that the transformer itself calls for each."""

from functools import partial
from typing import Any

from typing_extensions import override

from skline.scoring.answers import FloatArray, NotPlannable
from skline.scoring.matrix import Matrix, Reading, check_names
from skline.scoring.source import Array, Batch, Cell, Source
from skline.text import text_vector, text_vectors


def read_text_features(reading: Reading, step: Any, matrix: Matrix) -> Matrix:  # noqa: ARG001
    """A few numbers for each column of text."""
    check_names(matrix, step)
    if matrix.dtypes != {"str"}:
        raise NotPlannable(f"TextFeatures is given columns of {sorted(matrix.dtypes)}; give it text")
    cells: list[Cell] = []
    learned = zip(matrix.cells, step.vocabularies_, step.weights_, step.directions_, strict=True)
    for cell, vocabulary, weights, directions in learned:
        vector = TextVector(cell, vocabulary, weights, directions)
        cells.extend(TextPart(vector, index) for index in range(directions.shape[1]))
    return Matrix(tuple(cells), "array")


class TextVector:
    """All the numbers of one text."""

    def __init__(self, cell: Cell, vocabulary: dict[str, int], weights: FloatArray, directions: FloatArray) -> None:
        self.cell = cell
        self.learned = (vocabulary, weights, directions)

    def emit(self, source: Source) -> str:
        """Write the call that computes the vector, as a list of floats."""
        compute = source.constant(partial(_listed, learned=self.learned))
        return source.assign(f"{compute}({source.of(self.cell)})")

    def values(self, batch: Batch) -> Any:
        """Compute the vectors of a batch: float64 of shape (n, n_directions)."""
        return text_vectors(batch.of(self.cell), *self.learned)


def _listed(text: str | None, learned: tuple[dict[str, int], FloatArray, FloatArray]) -> list[float]:
    values: list[float] = text_vector(text, *learned).tolist()
    return values


class TextPart(Cell):
    """One of a text's numbers."""

    dtype = "float64"

    def __init__(self, vector: TextVector, index: int) -> None:
        self.vector = vector
        self.index = index

    @override
    def emit(self, source: Source) -> str:
        return source.assign(f"{source.of(self.vector)}[{self.index}]")

    @override
    def values(self, batch: Batch) -> Array:
        column: Array = batch.of(self.vector)[:, self.index]
        return column
