"""The verdict of the gates, as reports/verdict.json holds it: whether a model may be released, and why."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from skline.errors import SklineError


class GateResult(BaseModel):
    """The result of one gate: the value that was checked against the limit, if it is a number, and the reason.

    `passed` is None where nothing was decided: the rows are too few, or there is nothing to check. `applies` is False
    where there is nothing to check: for the gate of the champion while there is none, and for that of its segments if
    no column is marked as one. Such a gate neither stops a model nor makes it undecided.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: str
    passed: bool | None
    applies: bool = True
    value: float | None = None
    limit: float | None = None
    reason: str

    @property
    def outcome(self) -> str:
        """The result in a word or a few."""
        if not self.applies:
            return "no champion yet" if self.gate == "champion" else "nothing to check"
        return {True: "passed", False: "failed", None: "undecided"}[self.passed]


class Verdict(BaseModel):
    """The results of all gates for one artifact, compared with one champion or none.

    `improved` is True if the model is better than the champion beyond chance, and None if nothing was compared.
    `warnings` are what a reader must know besides; they stop nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact_sha256: str
    champion_sha256: str | None = None
    champion_version: str | None = None
    improved: bool | None = None
    gates: tuple[GateResult, ...]
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no gate failed, and some passed: an undecided gate does not stop a model."""
        return any(gate.passed for gate in self.gates) and not self.failed_gates

    @property
    def failed_gates(self) -> tuple[GateResult, ...]:
        """The gates that failed."""
        return tuple(gate for gate in self.gates if gate.passed is False)

    @property
    def undecided_gates(self) -> tuple[GateResult, ...]:
        """The gates that neither passed nor failed, although there is something to check."""
        return tuple(gate for gate in self.gates if gate.passed is None and gate.applies)

    def failures(self) -> str:
        """Return the failed gates with their reasons, in one line."""
        return "; ".join(f"{result.gate}: {result.reason}" for result in self.failed_gates)

    def summary(self) -> str:
        """Return the verdict as one sentence."""
        if not any(gate.passed is not None for gate in self.gates):
            return "Must not be released: no gate was decided."
        n_gates = sum(gate.applies for gate in self.gates)
        if self.failed_gates:
            names = ", ".join(gate.gate for gate in self.failed_gates)
            return f"Must not be released: {len(self.failed_gates)} of {n_gates} gates failed ({names})."
        if self.champion_sha256 is None:
            comparison = "there is no champion yet to compare with"
        elif self.champion_sha256 == self.artifact_sha256:
            comparison = f"it is the champion {self.champion_version}"
        elif self.improved is None:
            comparison = f"it was not compared with the champion {self.champion_version}"
        elif any(gate.gate == "champion" for gate in self.undecided_gates):
            comparison = f"whether it is worse than the champion {self.champion_version} is not decided"
        elif self.improved:
            comparison = f"it is better than the champion {self.champion_version}"
        else:
            comparison = f"it is not worse than the champion {self.champion_version}, and no improvement is shown"
        if not self.undecided_gates:
            return f"May be released: all {n_gates} gates passed; {comparison}."
        names = ", ".join(gate.gate for gate in self.undecided_gates)
        passed = n_gates - len(self.undecided_gates)
        return f"May be released: {passed} gates passed, {len(self.undecided_gates)} undecided ({names}); {comparison}."


def read_verdict(path: Path) -> Verdict:
    """Read a verdict.

    Raises
    ------
    SklineError
        If the file is missing, or is not a verdict of this version.
    """
    try:
        return Verdict.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise SklineError(f"{path} is missing; run `dvc repro` to assess the model") from None
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise SklineError(f"{path} is not a verdict of this version: {reason}; run `dvc repro`") from None
