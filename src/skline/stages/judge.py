"""Put the gates' questions to the artifact, and write the verdict and the report; saying no is left to `gate`."""

from typing import Any

import pandas as pd

from skline import paths
from skline.artifact import Artifact, read_digest
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.evaluation import gates
from skline.evaluation.champion import Comparison, compare, open_champion, scorer_of, scores_of
from skline.evaluation.costs import measure
from skline.evaluation.verdict import Verdict
from skline.settings_evaluation import Evaluate, Gates


def against_champion(
    artifact: Artifact,
    test: pd.DataFrame,
    contract: Contract,
    metric: str,
    evaluate: Evaluate,
    limits: Gates,
    seed: int,
) -> Comparison | SklineError | None:
    """Compare with what is released; the error says why that is impossible, None that nothing is released."""
    try:
        champion = open_champion(paths.RELEASE)
        if champion is None:
            return None
        version, other = champion
        if other.digest == artifact.digest:
            return Comparison(version, other.digest, None)
        others = scores_of(other, test, contract)
    except SklineError as error:
        return error
    difference, values, count, worse = compare(
        test,
        scorer_of(artifact)(test),
        others,
        contract,
        (threshold_of(artifact), threshold_of(other)),
        metric,
        evaluate,
        limits,
        seed,
    )
    return Comparison(version, other.digest, difference, values, count, worse)


def threshold_of(artifact: Artifact) -> float:
    """From which probability of the second class the artifact's model answers it."""
    tuning = artifact.manifest.tuning
    return tuning.threshold.value if tuning is not None and tuning.threshold is not None else 0.5


def judge(
    artifact: Artifact,
    test: pd.DataFrame,
    metrics: dict[str, Any],
    details: dict[str, Any],
    evaluate: Evaluate,
    limits: Gates,
    seed: int,
) -> tuple[Verdict, Comparison | None]:
    """Return the verdict on the artifact in artifact/, and the comparison with the champion if there was one."""
    costs = measure(artifact, paths.ARTIFACT)
    found = against_champion(artifact, test, artifact.contract, details["metric"], evaluate, limits, seed)
    comparison = found if isinstance(found, Comparison) else None
    verdict = Verdict(
        artifact_sha256=artifact.digest,
        champion_sha256=comparison and comparison.sha256,
        champion_version=comparison and comparison.version,
        improved=gates.improved(found, artifact.digest),
        findings=gates.judge(limits, metrics, details, found, costs, artifact.digest),
    )
    return verdict, comparison


def main() -> None:
    """Read the artifact, the test part, what evaluate found and the release; write verdict and report."""
    from skline.evaluation.report import page
    from skline.files import read_json, read_table, write_text
    from skline.settings import Settings

    settings = Settings.load()
    artifact = Artifact.open(paths.ARTIFACT, read_digest(paths.ARTIFACT_DIGEST))
    metrics, details = read_json(paths.METRICS), read_json(paths.EVALUATION)
    test = read_table(paths.part("test"))
    verdict, comparison = judge(
        artifact, test, metrics, details, settings.evaluate, settings.gates, settings.train.seed
    )
    write_text(paths.VERDICT, verdict.model_dump_json(indent=2) + "\n")
    plots = {path.stem: pd.read_csv(path) for path in sorted(paths.PLOTS.glob("*.csv"))}
    write_text(
        paths.REPORT,
        page.write(
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
    print(verdict.words())
    for finding in verdict.findings:
        print(f"{'passed' if finding.passed else 'FAILED'}  {finding.gate}: {finding.reason}")
