"""Admit the candidate if every gate passed: only then it becomes the artifact, which is what is served by default.

The report is written before this stage, and register comes after it.
"""

from skline import artifact, paths
from skline.artifact import Artifact, read_digest
from skline.errors import SklineError
from skline.release.verdict import Verdict


def admit(verdict: Verdict, digest: str) -> str:
    """Return the digest of the artifact if it passed its gates.

    Raises
    ------
    SklineError
        If a gate failed, or the verdict is about another artifact.
    """
    if verdict.artifact_sha256 != digest:
        raise SklineError(
            f"{paths.VERDICT} is about artifact {verdict.artifact_sha256[:12]}, not {digest[:12]}; run `dvc repro`"
        )
    if not verdict.passed:
        raise SklineError(
            f"gate: {verdict.summary()} {verdict.failures()} (see {paths.REPORT}; the limits are in params.yaml)"
        )
    return digest


def main() -> None:
    """Read the verdict; copy the candidate to artifact/ and write artifact.sha256, or leave both as they are."""
    from skline.files import write_text
    from skline.release.verdict import read_verdict

    verdict = read_verdict(paths.VERDICT)
    candidate = Artifact.open(paths.CANDIDATE, admit(verdict, read_digest(paths.CANDIDATE_DIGEST)))
    artifact.copy(candidate, paths.ARTIFACT)
    write_text(paths.ARTIFACT_DIGEST, candidate.digest + "\n")
    print(f"{verdict.summary()} {paths.ARTIFACT} is {candidate.version}")
    for warning in verdict.warnings:
        print(f"WARNING  {warning}")
