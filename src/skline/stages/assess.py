"""Check the candidate against the gates, and write the verdict and the report; the stage gate enforces the verdict."""

from typing import Any

import pandas as pd

from skline import paths
from skline.artifact import Artifact, read_digest
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.evaluation import gates
from skline.evaluation.champion import (
    Comparison,
    compare_with_champion,
    open_champion,
    score_with_champion,
)
from skline.evaluation.frame_scorers import artifact_scorer
from skline.evaluation.runtime_costs import measure_costs
from skline.release.verdict import Verdict
from skline.settings.evaluation import Evaluate, Gates

#: What the stage prints for a gate.
OUTCOMES = {True: "passed", False: "FAILED", None: "cannot tell"}


def assess(
    artifact: Artifact,
    test: pd.DataFrame,
    metrics: dict[str, Any],
    details: dict[str, Any],
    evaluate: Evaluate,
    limits: Gates,
    seed: int,
) -> tuple[Verdict, Comparison | None]:
    """Return the verdict on the candidate, and the comparison with the champion if there is one."""
    costs = measure_costs(artifact, paths.CANDIDATE)
    result = compare_with_release(artifact, test, artifact.contract, details["metric"], evaluate, limits, seed)
    comparison = result if isinstance(result, Comparison) else None
    verdict = Verdict(
        artifact_sha256=artifact.digest,
        champion_sha256=comparison and comparison.sha256,
        champion_version=comparison and comparison.version,
        improved=gates.is_improved(result, artifact.digest),
        gates=gates.evaluate_gates(limits, metrics, details, result, costs, artifact.digest),
    )
    return verdict, comparison


def compare_with_release(
    artifact: Artifact,
    test: pd.DataFrame,
    contract: Contract,
    metric: str,
    evaluate: Evaluate,
    limits: Gates,
    seed: int,
) -> Comparison | SklineError | None:
    """Compare the artifact with the released champion on the test part.

    Returns
    -------
    The comparison; the error that made it impossible; None where nothing is released.
    """
    try:
        champion = open_champion(paths.RELEASE)
        if champion is None:
            return None
        version, released = champion
        if released.digest == artifact.digest:
            return Comparison(version, released.digest, None)
        champion_scores = score_with_champion(released, test, contract)
    except SklineError as error:
        return error
    difference, values, n_segments, worse = compare_with_champion(
        test,
        artifact_scorer(artifact)(test),
        champion_scores,
        contract,
        (artifact_threshold(artifact), artifact_threshold(released)),
        metric,
        evaluate,
        limits,
        seed,
    )
    return Comparison(version, released.digest, difference, values, n_segments, worse)


def artifact_threshold(artifact: Artifact) -> float:
    """Return the probability from which the artifact's model predicts the second class."""
    tuning = artifact.manifest.tuning
    return tuning.threshold.value if tuning is not None and tuning.threshold is not None else 0.5


def main() -> None:
    """Read the candidate, the test part, the reports of evaluate and the release; write verdict and report."""
    from skline.evaluation.report.page import render_report
    from skline.files import read_json, read_table, write_text
    from skline.settings import Settings

    settings = Settings.load()
    artifact = Artifact.open(paths.CANDIDATE, read_digest(paths.CANDIDATE_DIGEST))
    metrics, details = read_json(paths.METRICS), read_json(paths.EVALUATION)
    test = read_table(paths.part("test"))
    verdict, comparison = assess(
        artifact, test, metrics, details, settings.evaluate, settings.gates, settings.train.seed
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
            parts=read_json(paths.SPLIT_REPORT),
        ),
    )
    print(verdict.summary())
    for result in verdict.gates:
        print(f"{OUTCOMES[result.passed]}  {result.gate}: {result.reason}")
