"""Shadow scoring in batch: score logged requests with a challenger, and compare it with the logged predictions."""

import datetime as dt
from typing import Any

import pyarrow.compute as pc
from pydantic import ValidationError

from skline.artifact import Artifact
from skline.errors import SklineError
from skline.logs.read import read_labelled, values
from skline.logs.settings import LogSettings
from skline.release.comparison import Prediction, compare_predictions
from skline.scoring.golden_verification import parse_rows
from skline.scoring.pipeline_scorer import pipeline_scorer

#: Rows scored at a time.
CHUNK_ROWS = 5_000


def score_log(
    artifact: Artifact, settings: LogSettings, since: dt.datetime | None, until: dt.datetime | None
) -> dict[str, Any]:
    """Score the logged rows of since ≤ time < until, and compare.

    Rows of a shadow and of a fallback are left out.

    Returns
    -------
    The result of `compare_predictions` with the `challenger`, the time span (`from`, `to`), and the number of
    `skipped` rows, which violate the challenger's contract.

    Raises
    ------
    SklineError
        If there is no row, or the log lacks a column that the challenger reads.
    """
    table = read_labelled(settings, since, until)
    table = table.filter(pc.and_(pc.not_equal(table["role"], "shadow"), pc.not_equal(table["artifact_digest"], "")))
    if not table.num_rows:
        raise SklineError(
            f"{settings.redacted_database} has no prediction of a model in that time; choose another --since or --until"
        )
    logged = values(table["inputs"])
    champion = list(zip(values(table["prediction"]), values(table["probabilities"]), strict=True))
    labels = values(table["label"])
    score = pipeline_scorer(artifact.load_pipeline(), artifact.contract.inputs)
    names = artifact.contract.class_names
    challenger: list[Prediction] = []
    scored: list[int] = []
    for start in range(0, len(logged), CHUNK_ROWS):
        chunk = range(start, min(start + CHUNK_ROWS, len(logged)))
        positions, rows = _valid_rows(artifact, logged, chunk)
        if not rows:
            continue
        scores = score(rows)
        probabilities = [None] * len(rows) if scores.probabilities is None else scores.probabilities.tolist()
        for prediction, row in zip(scores.predictions.tolist(), probabilities, strict=True):
            challenger.append(
                (prediction, None if row is None or names is None else dict(zip(names, row, strict=True)))
            )
        scored += positions
    if not scored:
        raise SklineError(f"none of the {len(logged):,} logged rows conforms to the contract of {artifact.version}")
    comparison = compare_predictions([champion[i] for i in scored], challenger, [labels[i] for i in scored])
    times = pc.min_max(table["time"]).as_py()
    metadata = {"challenger": artifact.version, "from": str(times["min"]), "to": str(times["max"])}
    return metadata | {"skipped": len(logged) - len(scored)} | comparison


def _valid_rows(
    artifact: Artifact, logged: list[dict[str, Any]], positions: range
) -> tuple[list[int], list[dict[str, Any]]]:
    """Return logged inputs as the challenger's rows, and their positions, without rows that violate its contract."""
    names = artifact.contract.input_names
    missing = [name for name in names if name not in logged[positions[0]]]
    if missing:
        raise SklineError(
            f"the log lacks {missing}, which {artifact.version} reads: SKLINE_LOG__COLUMNS leaves these columns out, "
            "SKLINE_LOG__ENTITY_COLUMN stores one as a hash, or requests did not contain them"
        )
    chunk = [{name: logged[index].get(name) for name in names} for index in positions]
    try:
        return list(positions), parse_rows(artifact.contract, chunk)
    except ValidationError as error:
        invalid = {detail["loc"][0] for detail in error.errors()}
    valid = [number for number in range(len(chunk)) if number not in invalid]
    return [positions[number] for number in valid], parse_rows(artifact.contract, [chunk[number] for number in valid])
