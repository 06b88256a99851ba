"""One artifact that answers."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serving.answers import Answers, half_width_of
from serving.scorers import Scorer, load
from skline.artifact import Artifact

if TYPE_CHECKING:
    from serving.trial import Trial


@dataclass(frozen=True, eq=False)
class Model:
    """An artifact that answers, and what is tried beside it."""

    artifact: Artifact
    scorer: Scorer
    answers: Answers
    trial: "Trial | None" = None


async def load_model(artifact: Artifact, on_batch: Callable[[int], None], batching: dict[str, Any]) -> Model:
    """Load an artifact in a thread, and prove it; raises as `serving.scorers.load` does."""
    scorer = await asyncio.to_thread(load, artifact, on_batch, **batching)
    classes = artifact.contract.classes
    width = half_width_of(artifact)
    answers = Answers(artifact.version, classes, digest=artifact.digest, path=scorer.scoring.path, half_width=width)
    return Model(artifact, scorer, answers)
