"""Shadow scoring later, in batch: a challenger scores what the log has, and is compared with who answered then."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from skline.artifact import Artifact
from skline.errors import SklineError
from skline.logs.read import read_labelled, values
from skline.logs.settings import LogSettings
from skline.release.comparison import compare
from skline.scoring.fallback import pipeline_scorer
from skline.scoring.golden import read_rows

#: Rows scored at a time.
CHUNK = 5_000


def score_log(
    artifact: Artifact, settings: LogSettings, since: dt.datetime | None, until: dt.datetime | None
) -> dict[str, Any]:
    """Score the logged rows of since ≤ time < until, and compare; see `comparison.compare`.

    Rows that a shadow or a fallback answered are left out; `skipped` counts rows that break the challenger's contract.

    Raises
    ------
    SklineError
        If there is no row, or the log does not hold a column that the challenger reads.
    """
    table = read_labelled(settings, since, until)
    table = table.filter(pc.and_(pc.not_equal(table["role"], "shadow"), pc.not_equal(table["artifact_digest"], "")))
    if not table.num_rows:
        raise SklineError(
            f"{settings.shown_database} holds no prediction of a model in that time; give another --since"
        )
    logged = values(table["inputs"])
    answers = list(zip(values(table["prediction"]), values(table["probabilities"]), strict=True))
    labels = values(table["label"])
    score = pipeline_scorer(artifact.load_pipeline(), artifact.contract.inputs)
    classes = artifact.contract.classes
    names = None if classes is None else [str(c).lower() if isinstance(c, bool) else str(c) for c in classes]
    theirs: list[tuple[Any, Mapping[str, float] | None]] = []
    kept: list[int] = []
    for start in range(0, len(logged), CHUNK):
        places, rows = _readable(artifact, logged, range(start, min(start + CHUNK, len(logged))))
        if not rows:
            continue
        scores = score(rows)
        chances = [None] * len(rows) if scores.probabilities is None else scores.probabilities.tolist()
        for prediction, some in zip(scores.predictions.tolist(), chances, strict=True):
            theirs.append((prediction, None if some is None or names is None else dict(zip(names, some, strict=True))))
        kept += places
    if not kept:
        raise SklineError(f"none of the {len(logged):,} logged rows fits the contract of {artifact.version}")
    found = compare([answers[i] for i in kept], theirs, [labels[i] for i in kept])
    moments = pc.min_max(table["time"]).as_py()
    about = {"challenger": artifact.version, "from": str(moments["min"]), "to": str(moments["max"])}
    return about | {"skipped": len(logged) - len(kept)} | found


def _readable(
    artifact: Artifact, logged: list[dict[str, Any]], places: range
) -> tuple[list[int], list[dict[str, Any]]]:
    """Read logged inputs as the challenger's rows; those that break its contract are left out."""
    from pydantic import ValidationError

    names = artifact.contract.input_names
    lacking = [name for name in names if name not in logged[places[0]]]
    if lacking:
        raise SklineError(
            f"the log does not hold {lacking}, which {artifact.version} reads; it is left out by SKLINE_LOG__COLUMNS, "
            "stored as a hash (SKLINE_LOG__ENTITY_COLUMN), or was never asked for"
        )
    kept, rows = [], []
    try:
        whole = [{name: logged[index].get(name) for name in names} for index in places]
        return list(places), list(read_rows(artifact.contract, whole))
    except ValidationError:
        for index in places:
            try:
                rows += read_rows(artifact.contract, [{name: logged[index].get(name) for name in names}])
            except ValidationError:
                continue
            kept.append(index)
    return kept, rows
