"""Check the candidate against the gates, and write the verdict and the report; the stage gate enforces the verdict."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from skline import paths
from skline.artifact import Artifact, read_digest
from skline.errors import SklineError
from skline.evaluation import gates
from skline.evaluation.champion import Comparison, compare_with_champion, open_champion
from skline.evaluation.champion_rows import NotComparable, find_comparable_rows
from skline.evaluation.frame_scorers import artifact_scorer
from skline.evaluation.runtime_costs import ROUNDS, Costs, measure_costs
from skline.evaluation.warnings import find_warnings
from skline.release.verdict import Verdict
from skline.settings.evaluation import Evaluate, Gates

LoadTable = Callable[[], pd.DataFrame]


def assess(
    artifact: Artifact,
    load_table: LoadTable,
    metrics: dict[str, Any],
    details: dict[str, Any],
    parts: dict[str, Any],
    costs: Costs,
    evaluate: Evaluate,
    limits: Gates,
    seed: int,
) -> tuple[Verdict, Comparison | None]:
    """Return the verdict on the candidate, and the comparison with the champion if there is one."""
    result = compare_with_release(artifact, load_table, details["metric"], evaluate, limits, seed)
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
    load_table: LoadTable,
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
    load_table : function
        Reads all validated rows; it is called only if there is another champion to compare with.
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
    contract, split = artifact.contract, artifact.manifest.partition.split
    try:
        rows = find_comparable_rows(load_table(), contract, split, released.contract, released.manifest.partition)
    except NotComparable as error:
        return Comparison(version, released.digest, obstacle=str(error))
    if len(rows.own) < limits.min_rows:
        few = f"only {rows.describe()}; gates.min_rows is {limits.min_rows}"
        return Comparison(version, released.digest, obstacle=few)
    difference, values, n_segments, worse = compare_with_champion(
        rows.own,
        artifact_scorer(artifact)(rows.own),
        artifact_scorer(released)(rows.champion),
        contract,
        (artifact_threshold(artifact), artifact_threshold(released)),
        metric,
        evaluate,
        limits,
        seed,
    )
    described = rows.describe() if rows.fitted or rows.unreadable else ""
    return Comparison(version, released.digest, difference, values, n_segments, worse, described)


def artifact_threshold(artifact: Artifact) -> float:
    """Return the probability from which the artifact's model predicts the second class."""
    tuning = artifact.manifest.tuning
    return tuning.threshold.value if tuning is not None and tuning.threshold is not None else 0.5


def main() -> None:
    """Read the candidate, the validated rows, the reports of evaluate and the release; write verdict and report."""
    from skline.evaluation.report.page import render_report
    from skline.files import read_json, read_table, write_json, write_text
    from skline.settings import Settings

    settings = Settings.load()
    artifact = Artifact.open(paths.CANDIDATE, read_digest(paths.CANDIDATE_DIGEST))
    metrics, details, parts = (read_json(path) for path in (paths.METRICS, paths.EVALUATION, paths.SPLIT_REPORT))
    costs = measure_costs(artifact, paths.CANDIDATE)
    write_json(paths.COSTS, {"artifact_sha256": artifact.digest} | costs.model_dump())
    verdict, comparison = assess(
        artifact,
        lambda: read_table(paths.VALIDATED),
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
        print(f"{outcome}  {result.gate}: {result.reason}")
    for warning in verdict.warnings:
        print(f"WARNING  {warning}")
    print(
        f"on this machine a row takes {costs.latency_ms:g} ms of processor time ({costs.latency_low_ms:g} to "
        f"{costs.latency_high_ms:g} in {ROUNDS} rounds), and the model {costs.memory_mb:g} MB of memory"
    )
