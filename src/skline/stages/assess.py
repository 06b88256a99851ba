"""Check the candidate against the gates, and write the verdict and the report; the stage gate enforces the verdict."""

from dataclasses import replace
from typing import Any

import pandas as pd

from skline import paths
from skline.artifact import Artifact, read_digest
from skline.batches import read_frames
from skline.errors import SklineError
from skline.evaluation import gates
from skline.evaluation.champion import Comparison, compare_with_champion, open_champion
from skline.evaluation.champion_rows import ComparableRows, NotComparable
from skline.evaluation.frame_scorers import artifact_scorer
from skline.evaluation.rows import join_scores
from skline.evaluation.runtime_costs import ROUNDS, Costs, measure_costs
from skline.evaluation.warnings import find_warnings
from skline.release.verdict import Verdict
from skline.scoring.scores import Scores
from skline.settings.evaluation import Evaluate, Gates
from skline.split_rule import PartitionRule
from skline.stages.comparable_rows import comparable_rows
from skline.stages.table_partition import Frames


def assess(
    artifact: Artifact,
    frames: Frames,
    metrics: dict[str, Any],
    details: dict[str, Any],
    parts: dict[str, Any],
    costs: Costs,
    evaluate: Evaluate,
    limits: Gates,
    seed: int,
) -> tuple[Verdict, Comparison | None]:
    """Return the verdict on the candidate, and the comparison with the champion if there is one."""
    result = compare_with_release(artifact, frames, details["metric"], evaluate, limits, seed)
    comparison = result if isinstance(result, Comparison) else None
    verdict = Verdict(
        artifact_sha256=artifact.digest,
        champion_sha256=comparison and comparison.sha256,
        champion_version=comparison and comparison.version,
        improved=gates.is_improved(result, artifact.digest),
        gates=gates.evaluate_gates(limits, metrics, details, result, costs, artifact.digest),
        warnings=find_warnings(metrics, details, parts),
    )
    return verdict, comparison


def compare_with_release(
    artifact: Artifact,
    frames: Frames,
    metric: str,
    evaluate: Evaluate,
    limits: Gates,
    seed: int,
) -> Comparison | SklineError | None:
    """Compare the artifact with the released champion, on test rows that the champion was not fitted on.

    Parameters
    ----------
    artifact : Artifact
        The candidate.
    frames : function
        Returns the batches of the validated rows; it is called only if there is another champion to compare with.
    metric : str
    evaluate : Evaluate
    limits : Gates
        With fewer rows than `min_rows` the two are not compared.
    seed : int

    Returns
    -------
    The comparison; the error if the champion cannot be opened; None where nothing is released.
    """
    try:
        champion = open_champion(paths.RELEASE)
    except SklineError as error:
        return error
    if champion is None:
        return None
    version, released = champion
    if released.digest == artifact.digest:
        return Comparison(version, released.digest)
    if artifact.manifest.partition is None:
        raise SklineError(
            "assess: the candidate does not store its split; run `dvc repro -sf package`, then `dvc repro`"
        )
    try:
        rows, scores, champion_scores = score_comparable_rows(frames, artifact, artifact.manifest.partition, released)
    except NotComparable as error:
        return Comparison(version, released.digest, obstacle=str(error))
    if len(rows.own) < limits.min_rows:
        few = f"only {rows.describe()}; gates.min_rows is {limits.min_rows}"
        return Comparison(version, released.digest, obstacle=few)
    difference, values, n_segments, worse = compare_with_champion(
        rows.own,
        scores,
        champion_scores,
        artifact.contract,
        (artifact_threshold(artifact), artifact_threshold(released)),
        metric,
        evaluate,
        limits,
        seed,
    )
    described = rows.describe() if rows.fitted or rows.unreadable else ""
    return Comparison(version, released.digest, difference, values, n_segments, worse, described)


def score_comparable_rows(
    frames: Frames, artifact: Artifact, rule: PartitionRule, released: Artifact
) -> tuple[ComparableRows, Scores, Scores]:
    """Find the rows that the two can be compared on, and score them with both, batch by batch.

    Of all rows only the predictions, the target and the segment columns are held in memory.
    """
    contract, other = artifact.contract, released.contract
    score, score_champion = artifact_scorer(artifact), artifact_scorer(released)
    kept = list(dict.fromkeys(column.name for column in (contract.target, *contract.segments)))
    found, scores, champion_scores = [], [], []
    batches = comparable_rows(frames, contract, rule.split, other, released.manifest.partition, paths.CANDIDATE.parent)
    for batch in batches:
        if len(batch.own):
            scores.append(score(batch.own))
            champion_scores.append(score_champion(batch.champion))
        found.append(replace(batch, own=batch.own[kept], champion=batch.champion[[]]))
    return ComparableRows.of_batches(found), join_scores(scores), join_scores(champion_scores)


def artifact_threshold(artifact: Artifact) -> float:
    """Return the probability from which the artifact's model predicts the second class."""
    tuning = artifact.manifest.tuning
    return tuning.threshold.value if tuning is not None and tuning.threshold is not None else 0.5


def main() -> None:
    """Read the candidate, the validated rows, the reports of evaluate and the release; write verdict and report."""
    from skline.evaluation.report.page import render_report
    from skline.files import read_json, write_json, write_text
    from skline.settings import Settings

    settings = Settings.load()
    artifact = Artifact.open(paths.CANDIDATE, read_digest(paths.CANDIDATE_DIGEST))
    metrics, details, parts = (read_json(path) for path in (paths.METRICS, paths.EVALUATION, paths.SPLIT_REPORT))
    costs = measure_costs(artifact, paths.CANDIDATE)
    write_json(paths.COSTS, {"artifact_sha256": artifact.digest} | costs.model_dump())
    verdict, comparison = assess(
        artifact,
        lambda names: read_frames(paths.VALIDATED, names),
        metrics,
        details,
        parts,
        costs,
        settings.evaluate,
        settings.gates,
        settings.train.seed,
    )
    write_text(paths.VERDICT, verdict.model_dump_json(indent=2) + "\n")
    plots = {path.stem: pd.read_csv(path) for path in sorted(paths.PLOTS.glob("*.csv"))}
    write_text(
        paths.REPORT,
        render_report(
            settings,
            artifact,
            verdict,
            comparison,
            metrics=metrics,
            details=details,
            plots=plots,
            lineage=read_json(paths.LINEAGE),
            parts=parts,
        ),
    )
    print(verdict.summary())
    for result in verdict.gates:
        outcome = result.outcome.upper() if result.passed is False else result.outcome
        print(f"{outcome}  {result.gate}: {gates.describe_result(result, costs)}")
    for warning in verdict.warnings:
        print(f"WARNING  {warning}")
    print(
        f"on this machine a row takes {costs.latency_ms:g} ms of processor time ({costs.latency_low_ms:g} to "
        f"{costs.latency_high_ms:g} in {ROUNDS} rounds), and the model {costs.memory_mb:g} MB of memory"
    )
