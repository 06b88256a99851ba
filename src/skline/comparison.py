"""Compare the predictions of a running service with those of the packaged pipeline, bit by bit."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skline import paths
from skline.contract.frames import to_json_rows
from skline.contract.spec import Contract, Row
from skline.errors import SklineError
from skline.files import read_table
from skline.loading import Model
from skline.scoring.equality import arrays_equal, concatenate
from skline.scoring.golden_verification import parse_rows
from skline.scoring.reference import score_with_pipeline
from skline.scoring.scores import Exactness, RowScore, Scores

#: Posts JSON to a path of the service, and returns the JSON of the response; SklineError if its status is not 200.
Post = Callable[[str, Any], Any]
#: Rows of one request to /predict/batch.
BATCH_ROWS = 1_000


@dataclass(frozen=True)
class Comparison:
    """The numbers of compared and of different predictions; `first` describes the first difference."""

    rows: int
    different: int
    first: str | None


def sample_rows(model: Model, n_rows: int) -> list[dict[str, Any]]:
    """Return JSON rows that the pipeline was not fitted on: of the live part, or of the test part if that is empty.

    Every seventh has missing values, and every eleventh is a golden row.
    """
    contract, golden = model.contract, model.artifact.golden.rows
    frame = read_table(paths.part("live"), contract.input_names)
    if not len(frame):
        frame = read_table(paths.part("test"), contract.input_names)
    frame = frame.iloc[:n_rows].copy()
    for column in contract.inputs:
        if column.nullable and column.storage == "float64":
            frame[column.name] = frame[column.name].astype("float64").where(np.arange(len(frame)) % 7 != 0)
    rows: list[dict[str, Any]] = to_json_rows(contract.inputs, frame)
    rows[::11] = [golden[index % len(golden)] for index in range(len(rows[::11]))]
    return rows


def compare(post: Post, model: Model, rows: Sequence[dict[str, Any]], *, one_by_one: bool = False) -> Comparison:
    """Send rows to a service, in batches or one by one, and compare its predictions with the pipeline's.

    They must have the same bits; where the plan is exact to "ulp" (docs/scoring.md), the same class, and numbers within
    64 units in the last place of the pipeline's for the row alone. Inputs that callers do not send are looked up here
    too, and must be found in both places or in neither.

    Raises
    ------
    SklineError
        If the service fails, or another model than the packaged one responds.
    """
    exactness, requested = model.scoring.exactness, model.contract.for_requests().input_names
    different, first = 0, None
    for start in range(0, len(rows), BATCH_ROWS):
        part = rows[start : start + BATCH_ROWS]
        requests = [{name: row[name] for name in requested} for row in part]
        answers = _predict_each(post, requests) if one_by_one else post("/predict/batch", requests)["predictions"]
        parsed = model.look_up(requests) if model.contract.lookups else parse_rows(model.contract, part)
        scores = _score_by_pipeline(model, parsed, alone=one_by_one or exactness == "ulp")
        for index, answer in enumerate(answers):
            _require_version(model, answer)
            expected = scores.row(index)
            same_lookups = getattr(parsed[index], "outcomes", None) == answer.get("lookups")
            if not same_lookups or not _is_same(expected, answer, model.contract, exactness):
                different += 1
                first = first or _describe(requests[index], expected, answer)
    return Comparison(len(rows), different, first)


def _predict_each(post: Post, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Send each row in a request of its own."""
    return [post("/predict", row) for row in rows]


def _score_by_pipeline(model: Model, rows: Sequence[Row], *, alone: bool) -> Scores:
    """Score rows by the pipeline itself, each alone or all as one batch."""
    columns = model.contract.inputs
    if not alone:
        return score_with_pipeline(model.pipeline, columns, rows)
    return concatenate([score_with_pipeline(model.pipeline, columns, [row]) for row in rows])


def _require_version(model: Model, answer: dict[str, Any]) -> None:
    """Raise SklineError if the answer is not the packaged model's: a release, an experiment or a fallback may be."""
    if answer["model_version"] != model.version or "fallback" in answer:
        fallback = f" by the fallback {answer['fallback']}" if "fallback" in answer else ""
        raise SklineError(
            f"the service answers with {answer['model_version']}{fallback}, and the packaged model is {model.version}; "
            "serve this one, or compare in the project of the other"
        )


def _is_same(expected: RowScore, answer: dict[str, Any], contract: Contract, exactness: Exactness) -> bool:
    """Return whether an answer has the pipeline's class and probabilities, or its number."""
    prediction, probabilities = expected
    if contract.task == "regression":
        return _numbers_equal([prediction], [answer["prediction"]], exactness)
    if prediction != answer["prediction"] or (probabilities is None) != ("probabilities" not in answer):
        return False
    return probabilities is None or _numbers_equal(probabilities, list(answer["probabilities"].values()), exactness)


def _numbers_equal(expected: Sequence[float], actual: Sequence[float], exactness: Exactness) -> bool:
    return arrays_equal(np.array(expected, dtype=np.float64), np.array(actual, dtype=np.float64), exactness)


def _describe(row: dict[str, Any], expected: RowScore, answer: dict[str, Any]) -> str:
    prediction, probabilities = expected
    pipeline = prediction if probabilities is None else f"{prediction} {list(probabilities)}"
    service = f"{answer['prediction']} {list(answer.get('probabilities', {}).values()) or ''}".strip()
    return f"for {json.dumps(row, ensure_ascii=False)} the pipeline gives {pipeline}, the service {service}"
