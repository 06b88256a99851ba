"""Responses to rows as JSON, and the rule that every number in them is finite."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from skline.contract.spec import Scalar, class_name
from skline.scoring.scores import FloatArray, RowScore, Scores
from skline.serving.errors import RequestError

Content = dict[str, Any]

#: NumPy's kinds of numbers and booleans; the others are texts.
NUMERIC_KINDS = "biuf"
#: Write a response, or any other JSON value, as bytes.
to_json = orjson.dumps


class ResponseBuilder:
    """Builds the responses of one model or fallback, each with its version and a prediction id.

    Parameters
    ----------
    version : str
        The model's version, or the name of a fallback.
    classes : sequence or None
        The classes of the contract.
    digest : str
        Sha256 of the artifact; empty for a fallback without one.
    path : str
        The scoring path, plan or pipeline, or the name of a fallback.
    half_width : float or None
        Half of the width of the interval around each predicted number.
    extra : str to JSON value
        Further fields of each response.
    """

    def __init__(
        self,
        version: str,
        classes: Sequence[Scalar] | None,
        *,
        digest: str = "",
        path: str,
        half_width: float | None = None,
        **extra: Any,
    ) -> None:
        self.half_width = half_width
        self.class_names = None if classes is None else [class_name(value) for value in classes]
        self.version, self.digest, self.path, self.extra = version, digest, path, extra

    def row(self, scored: RowScore, prediction_id: str) -> Content:
        """Build the response to one row."""
        prediction, probabilities = scored
        content: Content = {"prediction": prediction}
        if probabilities is not None and self.class_names is not None:
            content["probabilities"] = dict(zip(self.class_names, probabilities, strict=True))
        elif self.half_width is not None:
            content["interval"] = [prediction - self.half_width, prediction + self.half_width]
        content["model_version"] = self.version
        content["prediction_id"] = prediction_id
        if self.extra:
            content |= self.extra
        return content

    def rows(self, scores: Scores, prediction_ids: Sequence[str]) -> list[Content]:
        """Build the responses to many rows, in their order."""
        predictions = scores.predictions.tolist()
        version, class_names, extra = self.version, self.class_names, self.extra
        if self.half_width is not None:
            return [
                self.row((prediction, None), prediction_id)
                for prediction, prediction_id in zip(predictions, prediction_ids, strict=True)
            ]
        if scores.probabilities is None or class_names is None:
            return [
                {"prediction": prediction, "model_version": version, "prediction_id": prediction_id, **extra}
                for prediction, prediction_id in zip(predictions, prediction_ids, strict=True)
            ]
        by_class: list[dict[str, float]]
        if len(class_names) == 2:  # a special case because it takes half of the time
            first, second = class_names
            by_class = [{first: p_first, second: p_second} for p_first, p_second in scores.probabilities.tolist()]
        else:
            by_class = [dict(zip(class_names, values, strict=True)) for values in scores.probabilities.tolist()]
        return [
            {
                "prediction": prediction,
                "probabilities": probabilities,
                "model_version": version,
                "prediction_id": prediction_id,
                **extra,
            }
            for prediction, probabilities, prediction_id in zip(predictions, by_class, prediction_ids, strict=True)
        ]


def relabelled(content: Content, labels: Mapping[str, str]) -> Content:
    """Return the response to one row with other names of the classes."""
    if not labels:
        return content

    def label(value: Scalar) -> Scalar:
        return labels.get(class_name(value), value)

    changed = content | {"prediction": label(content["prediction"])}
    if "probabilities" in content:
        changed["probabilities"] = {labels.get(name, name): value for name, value in content["probabilities"].items()}
    if content.get("explanation") is not None:
        explanation = content["explanation"]
        changed["explanation"] = explanation | {"explained_class": label(explanation["explained_class"])}
    return changed


def relabelled_batch(body: bytes, labels: Mapping[str, str]) -> bytes:
    """Return the response to /predict/batch with other names of the classes."""
    contents = orjson.loads(body)["predictions"]
    return to_json({"predictions": [relabelled(content, labels) for content in contents]})


def check_row(scored: RowScore) -> None:
    """Reject a result that is not finite: JSON cannot hold it, and no caller should act on it."""
    prediction, probabilities = scored
    if probabilities is None:
        finite = isinstance(prediction, str) or math.isfinite(prediction)
    else:
        finite = all(map(math.isfinite, probabilities))
    if not finite:
        raise not_finite(0)


def check_rows(scores: Scores) -> None:
    """Reject results of which one is not finite."""
    numbers = scores.predictions if scores.probabilities is None else scores.probabilities
    if numbers.dtype.kind not in NUMERIC_KINDS:
        return
    finite = np.isfinite(numbers)
    if not finite.all():
        raise not_finite(int(np.flatnonzero(~finite.reshape(len(finite), -1).all(axis=1))[0]))


def not_finite(index: int) -> RequestError:
    """Return the error for a row whose result is not finite."""
    return RequestError(
        422, f"the model has no finite prediction for row {index}; its values are too extreme", "not_finite"
    )


def not_scorable(error: ValueError) -> RequestError:
    """Return the error for a row that the model rejects, such as a value beyond float32, which forests reject."""
    return RequestError(422, f"the model cannot score this: {error}", "not_scorable")


def score_of(scored: RowScore) -> float:
    """Return a row's score as one number: see `skline_score` in skline.serving.observability.metrics.

    A class that is a text, of a classifier without probabilities, has no score: NaN.
    """
    prediction, probabilities = scored
    if probabilities is None:
        return math.nan if isinstance(prediction, str) else float(prediction)
    return probabilities[1] if len(probabilities) == 2 else max(probabilities)


def scores_of(scores: Scores) -> FloatArray:
    """Return the score of each of n rows as one number, float64 of shape (n,); see `score_of`."""
    probabilities = scores.probabilities
    if probabilities is None:
        if scores.predictions.dtype.kind not in NUMERIC_KINDS:
            return np.full(len(scores.predictions), np.nan)
        return np.asarray(scores.predictions, dtype=np.float64)
    return np.ascontiguousarray(probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities.max(axis=1))
