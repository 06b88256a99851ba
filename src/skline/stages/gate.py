"""Stop the line where the verdict is no: the report is written by then, and nothing is registered after it."""

from skline import paths
from skline.artifact import read_digest
from skline.errors import SklineError
from skline.evaluation.verdict import Verdict


def admit(verdict: Verdict, digest: str) -> str:
    """Return the digest of the artifact that may go on.

    Raises
    ------
    SklineError
        If a gate said no, or the verdict is on another artifact.
    """
    if verdict.artifact_sha256 != digest:
        raise SklineError(
            f"{paths.VERDICT} is on the artifact {verdict.artifact_sha256[:12]}, this is {digest[:12]}; run `dvc repro`"
        )
    if not verdict.passed:
        reasons = "; ".join(f"{finding.gate}: {finding.reason}" for finding in verdict.failures())
        raise SklineError(f"gate: {verdict.words()} {reasons} (see {paths.REPORT}; the limits are in params.yaml)")
    return digest


def main() -> None:
    """Read the verdict; write the digest of the artifact that passed."""
    from skline.evaluation import verdict
    from skline.files import write_text

    judged = verdict.read(paths.VERDICT)
    write_text(paths.ADMITTED, admit(judged, read_digest(paths.ARTIFACT_DIGEST)) + "\n")
    print(judged.words())
