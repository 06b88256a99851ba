"""The verdict of the gates, as reports/verdict.json holds it: whether a model may be put in front of users, and why."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from skline.errors import SklineError


class Finding(BaseModel):
    """What one gate found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: str
    passed: bool
    found: float | None = None
    limit: float | None = None
    reason: str


class Verdict(BaseModel):
    """All findings, on one artifact, against one champion or none.

    `improved` says whether it is better than the champion beyond chance; None where there was nothing to compare.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact_sha256: str
    champion_sha256: str | None = None
    champion_version: str | None = None
    improved: bool | None = None
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate passed; no gates at all pass nothing."""
        return bool(self.findings) and all(finding.passed for finding in self.findings)

    def failures(self) -> tuple[Finding, ...]:
        """Return the gates that said no."""
        return tuple(finding for finding in self.findings if not finding.passed)

    def words(self) -> str:
        """Say it in one sentence."""
        if not self.findings:
            return "No: nothing was judged."
        if failed := self.failures():
            names = ", ".join(finding.gate for finding in failed)
            return f"No: {len(failed)} of {len(self.findings)} gates failed ({names})."
        if self.champion_sha256 is None:
            beside = "there is no champion yet to compare it with"
        elif self.improved is None:
            beside = f"it is the champion {self.champion_version}"
        elif self.improved:
            beside = f"it is better than the champion {self.champion_version}"
        else:
            beside = f"it is not worse than the champion {self.champion_version}, and no improvement is shown"
        return f"Yes: all {len(self.findings)} gates passed; {beside}."


def read(path: Path) -> Verdict:
    """Read a verdict; SklineError if there is none or it is something else."""
    try:
        return Verdict.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise SklineError(f"{path} is missing; run `dvc repro` to judge the model") from None
    except ValueError as error:
        raise SklineError(f"{path} is no verdict: {str(error).splitlines()[0]}; run `dvc repro`") from None
