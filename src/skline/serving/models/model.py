"""An artifact that is loaded and ready to predict."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skline.artifact import Artifact
from skline.serving.models.response import ResponseBuilder
from skline.serving.models.scorers import Scorer, load_scorer


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """An artifact, the scorer that predicts by it, and the builder of its responses."""

    artifact: Artifact
    scorer: Scorer
    response_builder: ResponseBuilder


async def load_model(artifact: Artifact, on_batch: Callable[[int], None], batching: dict[str, Any]) -> LoadedModel:
    """Load an artifact in a thread and verify its golden rows; raises as `load_scorer` does."""
    scorer = await asyncio.to_thread(load_scorer, artifact, on_batch, **batching)
    builder = ResponseBuilder(
        artifact.version,
        artifact.contract.classes,
        digest=artifact.digest,
        path=scorer.scoring.path,
        half_width=artifact.interval_half_width,
    )
    return LoadedModel(artifact, scorer, builder)
