"""Compare a new model with the champion on the same rows, each scored by its own artifact.

`skline.evaluation.champion_rows` chooses the rows, and `skline.evaluation.champion_gate` decides.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skline.artifact import Artifact
from skline.contract.spec import Contract
from skline.evaluation.bootstrap import CONFIDENCE, Difference, gain, metric_values, paired_difference
from skline.evaluation.resampling import Sample, make_sample
from skline.evaluation.segments import iterate_segments
from skline.release.manifest import read_manifest
from skline.scoring.scores import Scores
from skline.settings.evaluation import Evaluate, Gates

#: Resamples behind a segment's difference; with many segments its confidence level is far out in the tails.
SEGMENT_RESAMPLES = 4_000


@dataclass(frozen=True)
class SegmentDifference:
    """A segment in which a model is worse than the champion by more than the margin.

    `significant` is True if it is worse beyond chance.
    """

    column: str
    value: str
    difference: Difference
    significant: bool


@dataclass(frozen=True)
class Comparison:
    """A model compared with the champion.

    `values` are the champion's metrics. `difference` is None where the metric has no value, where the model is the
    champion itself, and where there is an `obstacle`: the reason why the two could not be compared. `rows` describes
    the test rows that they were compared on; it is empty where these are all.
    """

    version: str
    sha256: str
    difference: Difference | None = None
    values: dict[str, float] = field(default_factory=dict)
    compared_segments: int = 0
    worse_segments: tuple[SegmentDifference, ...] = ()
    rows: str = ""
    obstacle: str | None = None


def open_champion(release_file: Path) -> tuple[str, Artifact] | None:
    """Return the version and the verified artifact of the release's champion; None if nothing is released.

    Raises
    ------
    SklineError
        If the release cannot be read, or its artifact is missing or does not have the digest of the release.
    """
    release = read_manifest(release_file)
    if release is None:
        return None
    arm = release.champion
    return arm.version, Artifact.open(arm.folder(release_file.parent), arm.sha256)


def compare_with_champion(
    test: pd.DataFrame,
    scores: Scores,
    champion_scores: Scores,
    contract: Contract,
    thresholds: tuple[float, float],
    metric: str,
    evaluate: Evaluate,
    gates: Gates,
    seed: int,
) -> tuple[Difference | None, dict[str, float], int, tuple[SegmentDifference, ...]]:
    """Compare the scores of two models on the same rows: on all of them, and by segment.

    Segments of fewer than `gates.segment_rows` rows are left out. Where the new model is worse by more than
    `gates.champion.segment_margin`, the difference is resampled, at a confidence level that holds for all segments
    together (Bonferroni): it is significant if the whole interval is below zero.

    Returns
    -------
    The difference, the champion's metrics, the number of compared segments, and the segments that are worse.
    """
    truth = test[contract.target.name].to_numpy()

    def samples(rows: Any) -> tuple[Sample, Sample]:
        model, champion = (
            make_sample(truth[rows], each[rows], contract, threshold)
            for each, threshold in zip((scores, champion_scores), thresholds, strict=True)
        )
        return model, champion

    model, champion = samples(slice(None))
    difference = paired_difference(model, champion, metric, evaluate.resamples, seed)
    segments = [
        segment
        for segment in iterate_segments(test, contract, evaluate.crossings)
        if len(segment.rows) >= gates.segment_rows
    ]
    worse = []
    for column, value, rows in segments:
        pair = samples(rows)
        segment_gain = gain(*pair, metric)
        if not np.isfinite(segment_gain) or segment_gain >= -gates.champion.segment_margin:
            continue
        confidence = 1 - (1 - CONFIDENCE) / len(segments)
        n_resamples = max(evaluate.resamples, SEGMENT_RESAMPLES)
        segment_difference = paired_difference(*pair, metric, n_resamples, seed, confidence)
        if segment_difference is not None:
            significant = segment_difference.high < 0
            worse.append(SegmentDifference(column, value, segment_difference, significant))
    worse_first = tuple(sorted(worse, key=lambda each: each.difference.value))
    return difference, metric_values(champion), len(segments), worse_first
