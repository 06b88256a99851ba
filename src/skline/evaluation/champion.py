"""The model that serves now, and how a new one compares with it on the same rows, each scored by its own artifact."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skline.artifact import Artifact
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.evaluation.bootstrap import Difference, all_once, paired
from skline.evaluation.sampled import LOWER, Sampled, sampled
from skline.evaluation.segments import groups
from skline.release import manifest
from skline.scoring import stored
from skline.scoring.answers import Scores
from skline.settings_evaluation import Evaluate, Gates

ScoreFrame = Callable[[pd.DataFrame], Scores]
#: Resamples behind a segment's difference, whose level is far out where there are many segments.
SEGMENT_RESAMPLES = 4_000


@dataclass(frozen=True)
class SegmentDifference:
    """A segment in which a model is worse than the champion by more than the margin; `sure` if beyond chance."""

    column: str
    value: str
    difference: Difference
    sure: bool


@dataclass(frozen=True)
class Comparison:
    """A model beside the champion."""

    version: str
    sha256: str
    difference: Difference | None
    values: dict[str, float] = field(default_factory=dict)
    judged_segments: int = 0
    worse_segments: tuple[SegmentDifference, ...] = ()


def open_champion(release_file: Path) -> tuple[str, Artifact] | None:
    """Return the version and the verified artifact of the release's champion; None if nothing is released.

    Raises
    ------
    SklineError
        If the release cannot be read, or its artifact is not there or not what the release says.
    """
    release = manifest.read(release_file)
    if release is None:
        return None
    arm = release.champion
    folder = release_file.parent / arm.artifact
    if "://" in arm.artifact or not folder.is_dir():
        raise SklineError(
            f"the champion {arm.version} is at {arm.artifact}, which is no folder beside {release_file}; "
            "fetch its artifact there to compare with it"
        )
    return arm.version, Artifact.open(folder, arm.sha256)


def scorer_of(artifact: Artifact) -> ScoreFrame:
    """Return what scores frames as the artifact does: its stored plan, or its pipeline."""
    names = artifact.contract.input_names
    if artifact.plan_bytes is not None:
        try:
            plan = stored.load(artifact.plan_bytes)
        except stored.PlanOutdated:
            pass  # the pipeline, which the plan equals, answers as well
        else:
            return lambda frame: plan.score_columns({name: frame[name].to_numpy() for name in names})
    from skline.scoring.reference import score_frame

    pipeline = artifact.load_pipeline()
    return lambda frame: score_frame(pipeline, frame[names])


def scores_of(artifact: Artifact, test: pd.DataFrame, contract: Contract) -> Scores:
    """Score the test part by another artifact.

    Raises
    ------
    SklineError
        If it predicts something else, or needs inputs that the rows lack.
    """
    other = artifact.contract
    if (other.target.name, other.task, other.classes) != (contract.target.name, contract.task, contract.classes):
        raise SklineError(
            f"the champion {artifact.version} predicts {other.target.name} {other.classes or other.task}, this model "
            f"{contract.target.name} {contract.classes or contract.task}: they cannot be compared"
        )
    if missing := [name for name in other.input_names if name not in test]:
        raise SklineError(f"the champion {artifact.version} needs {missing}, which the test part lacks")
    return scorer_of(artifact)(test)


def compare(
    test: pd.DataFrame,
    scores: Scores,
    others: Scores,
    contract: Contract,
    thresholds: tuple[float, float],
    metric: str,
    evaluate: Evaluate,
    gates: Gates,
    seed: int,
) -> tuple[Difference | None, dict[str, float], int, tuple[SegmentDifference, ...]]:
    """Compare the scores of two models on the same rows, on all of them and by segment.

    A segment is looked at if it has `gates.segment_rows` rows. Where the new model is worse by more than
    `gates.champion.segment_margin`, the difference is resampled, at a level that holds for all segments together
    (Bonferroni): it is sure if the whole interval is below zero.

    Returns
    -------
    The difference, the champion's metrics, how many segments were looked at, and those that are worse.
    """
    truth = test[contract.target.name].to_numpy()
    pair = scores, others

    def models(rows: Any) -> tuple[Sampled, Sampled]:
        first, second = (
            sampled(truth[rows], each[rows], contract, threshold)
            for each, threshold in zip(pair, thresholds, strict=True)
        )
        return first, second

    model, champion = models(slice(None))
    whole = paired(model, champion, metric, evaluate.resamples, seed)
    large = [group for group in groups(test, contract, evaluate.crossings) if len(group.rows) >= gates.segment_rows]
    worse = []
    for column, value, rows in large:
        first, second = models(rows)
        if _gain(first, second, metric) >= -gates.champion.segment_margin:
            continue
        level = 1 - 0.05 / len(large)
        found = paired(first, second, metric, max(evaluate.resamples, SEGMENT_RESAMPLES), seed, level)
        if found is not None:
            worse.append(SegmentDifference(column, value, found, sure=found.high < 0))
    known = {name: float(value[0]) for name, value in champion.metrics(all_once(champion.size)).items()}
    return whole, known, len(large), tuple(sorted(worse, key=lambda each: each.difference.value))


def _gain(model: Sampled, champion: Sampled, metric: str) -> float:
    """How much better the model is; 0 where the metric has no value, such as of one class alone."""
    first, second = (float(each.metrics(all_once(each.size), metric)[metric][0]) for each in (model, champion))
    gain = second - first if metric in LOWER else first - second
    return gain if np.isfinite(gain) else 0.0
