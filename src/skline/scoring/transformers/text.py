"""Plan of TextFeatures: one vector a text, computed by the function that the transformer itself calls."""

from functools import partial
from typing import Any

from typing_extensions import override

from skline.features.text import text_vector, text_vectors
from skline.scoring.code_writer import Array, BatchContext, CodeWriter, Expression
from skline.scoring.matrix import Matrix, check_names
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import FloatArray, UnsupportedStep


def read_text_features(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:  # noqa: ARG001
    """Read TextFeatures: several numbers for each column of text."""
    check_names(matrix, step)
    if matrix.dtypes != {"str"}:
        raise UnsupportedStep(f"TextFeatures gets columns of {sorted(matrix.dtypes)}; give it text")
    expressions: list[Expression] = []
    fitted = zip(matrix.expressions, step.vocabularies_, step.idf_, step.components_, strict=True)
    for expression, vocabulary, idf, components in fitted:
        vector = TextVector(expression, vocabulary, idf, components)
        expressions.extend(TextVectorElement(vector, index) for index in range(components.shape[1]))
    return Matrix(tuple(expressions), "array")


class TextVector:
    """The vector of one text, of which each element is a column."""

    def __init__(
        self, expression: Expression, vocabulary: dict[str, int], idf: FloatArray, components: FloatArray
    ) -> None:
        self.expression = expression
        self.fitted = (vocabulary, idf, components)

    def emit(self, writer: CodeWriter) -> str:
        """Write the call that computes the vector, as a list of floats."""
        compute = writer.constant(partial(_vector_as_list, fitted=self.fitted))
        return writer.assign(f"{compute}({writer.emit(self.expression)})")

    def evaluate(self, batch: BatchContext) -> Any:
        """Compute the vectors of a batch: float64 of shape (n, n_components)."""
        return text_vectors(batch.evaluate(self.expression), *self.fitted)


def _vector_as_list(text: str | None, fitted: tuple[dict[str, int], FloatArray, FloatArray]) -> list[float]:
    values: list[float] = text_vector(text, *fitted).tolist()
    return values


class TextVectorElement(Expression):
    """One element of a text's vector."""

    dtype = "float64"

    def __init__(self, vector: TextVector, index: int) -> None:
        self.vector = vector
        self.index = index

    @override
    def emit(self, writer: CodeWriter) -> str:
        return writer.assign(f"{writer.emit(self.vector)}[{self.index}]")

    @override
    def evaluate(self, batch: BatchContext) -> Array:
        column: Array = batch.evaluate(self.vector)[:, self.index]
        return column
