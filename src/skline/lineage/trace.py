"""Trace predictions: the logged row, its labels, its model, and the prediction computed again."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from skline.artifact import InvalidArtifact
from skline.lineage.artifacts import ArtifactStore, ArtifactUnavailable
from skline.lineage.differences import describe_differences
from skline.lineage.models import ModelRecord, read_model
from skline.lineage.predictions import LoggedLabel, LoggedPrediction, read_labels_of, read_logged
from skline.lineage.recomputation import Recomputation, Recomputer, not_comparable
from skline.logs.settings import LogSettings


@dataclass(frozen=True)
class ServedArm:
    """An arm of a release, and when the release was published."""

    release: int
    arm: str
    published_at: dt.datetime


@dataclass(frozen=True)
class Trace:
    """One prediction with all that is recorded about it.

    Attributes
    ----------
    prediction : LoggedPrediction
    labels : tuple of LoggedLabel
        In the order of their arrival.
    model : ModelRecord or None
        None if no artifact made the prediction.
    recomputation : Recomputation
    served_as : ServedArm or None
        The arm of the release that made the prediction; None if no release served its artifact then.
    differences : tuple of str
        If the recomputed prediction differs: what is different here from when the artifact was made.
    """

    prediction: LoggedPrediction
    labels: tuple[LoggedLabel, ...]
    model: ModelRecord | None
    recomputation: Recomputation
    served_as: ServedArm | None = None
    differences: tuple[str, ...] = ()


def trace_predictions(
    settings: LogSettings, store: ArtifactStore, prediction_ids: Sequence[str], root: Path = Path()
) -> dict[str, Trace | None]:
    """Trace predictions by their ids; each artifact is opened and loaded once.

    Parameters
    ----------
    settings : LogSettings
    store : ArtifactStore
    prediction_ids : sequence of str
    root : Path
        Root of the project, whose code is compared with that of the artifact.

    Returns
    -------
    dict by prediction id, in the given order; None for an id that the log does not hold.

    Raises
    ------
    StoreUnavailable
        If the database cannot be read.
    """
    logged = read_logged(settings, prediction_ids)
    labels = read_labels_of(settings, list(logged.values()))
    tracer = _Tracer(store, root)
    return {
        prediction_id: tracer.trace(logged[prediction_id], labels[prediction_id]) if prediction_id in logged else None
        for prediction_id in dict.fromkeys(prediction_ids)
    }


class _Tracer:
    """Traces logged predictions one by one, and keeps what it has read about each artifact."""

    def __init__(self, store: ArtifactStore, root: Path) -> None:
        self._store, self._root = store, root
        self._releases = sorted(store.all_releases(), key=lambda release: release.published_at, reverse=True)
        self._model = cache(lambda digest: read_model(store, digest))
        self._loaded = cache(self._load)
        self._differences = cache(self._describe_differences)

    def trace(self, logged: LoggedPrediction, labels: tuple[LoggedLabel, ...]) -> Trace:
        """Trace one prediction."""
        return replace(self._trace(logged, labels), served_as=self._served_as(logged))

    def _served_as(self, logged: LoggedPrediction) -> ServedArm | None:
        """Return the arm of the newest release before a prediction that serves its artifact; None if there is none."""
        for release in self._releases:
            names = [arm.name for arm in release.arms if arm.sha256 == logged.artifact_digest]
            if names and release.published_at <= logged.time:
                name = logged.arm if logged.arm in names else names[0]
                return ServedArm(release.number, name, release.published_at)
        return None

    def _trace(self, logged: LoggedPrediction, labels: tuple[LoggedLabel, ...]) -> Trace:
        digest = logged.artifact_digest
        if reason := not_comparable(logged, None):
            return Trace(
                logged, labels, self._model(digest) if digest else None, Recomputation("not comparable", reason)
            )
        loaded = self._loaded(digest)
        if not isinstance(loaded, Recomputer):
            return Trace(logged, labels, self._model(digest), loaded)
        result = loaded.recompute(logged)
        differences = self._differences(digest) if result.outcome == "different" else ()
        if result.outcome == "different" and not result.reason:
            result = replace(result, reason=describe_values(result))
        return Trace(logged, labels, self._model(digest), result, differences=differences)

    def _load(self, digest: str) -> Recomputer | Recomputation:
        """Load an artifact, or say why nothing can be compared."""
        try:
            return Recomputer(self._store.open(digest))
        except (ArtifactUnavailable, InvalidArtifact) as error:
            return Recomputation("not comparable", str(error))

    def _describe_differences(self, digest: str) -> tuple[str, ...]:
        model = self._model(digest)
        if model.manifest is None:
            return ()
        registered = model.registered[-1] if model.registered else None
        return tuple(describe_differences(model.manifest, registered, self._root))


def describe_values(result: Recomputation) -> str:
    """Return what the artifact gives now, for people."""
    probabilities = result.probabilities or {}
    return f"the artifact gives {format_prediction(result.prediction, probabilities)} now"


def format_prediction(prediction: object, probabilities: Mapping[str, float]) -> str:
    """Return a prediction with its probabilities, all digits of them."""
    text = json.dumps(prediction, ensure_ascii=False)
    by_class = ", ".join(f"{name} {value!r}" for name, value in probabilities.items())
    return f"{text} ({by_class})" if by_class else text
