"""The record of registered versions: which artifact and verdict the pipeline registered, in a file outside of MLflow.

With write access to MLflow the digest and the verdict of a version can be changed there, and the pipeline of a version
is unpickled. So the stage `register` appends each version to this file, and a version of the registry is fetched only
if the file lists it with the same digest. Git tracks the file: it reaches other machines as the code does.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from skline.errors import SklineError
from skline.files import JsonLines, append_line, read_json_lines
from skline.paths import ARTIFACT_DIGEST
from skline.release.verdict import Verdict

#: A sha256 in hexadecimal, with or without `sha256:` before it.
Digest = Annotated[
    str, BeforeValidator(lambda text: str(text).removeprefix("sha256:")), Field(pattern="^[0-9a-f]{64}$")
]


#: A commit as git names it; `skline trace` passes it to git, which must not get an option instead.
Commit = Annotated[str, Field(pattern="^[0-9a-f]{7,64}$")]


class RecordedVerdict(BaseModel):
    """The verdict on a version: the gates that failed and the undecided ones, and the champion compared with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passed: bool
    failed: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    champion_sha256: str | None = None

    @classmethod
    def of(cls, verdict: Verdict) -> "RecordedVerdict":
        """Return what is recorded of a verdict."""
        return cls(
            passed=verdict.passed,
            failed=tuple(gate.gate for gate in verdict.failed_gates),
            undecided=tuple(gate.gate for gate in verdict.undecided_gates),
            champion_sha256=verdict.champion_sha256,
        )


class RegisteredVersion(BaseModel):
    """One line of the file: an artifact that the pipeline registered as a version of `model`.

    `version` is its number in the registry of that run; another registry may number it differently. `git_dirty` says
    whether code or settings differed from `git_commit`; it is None outside of git, and in lines of earlier engines.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    time: AwareDatetime
    model: str
    version: str
    artifact_sha256: Digest
    contract_sha256: str
    git_commit: Commit | None
    git_dirty: bool | None = None
    verdict: RecordedVerdict | None
    verdict_sha256: str | None = Field(description="Sha256 of reports/verdict.json")

    @property
    def made_from(self) -> str:
        """The commit that the artifact was registered from, in words."""
        if self.git_commit is None:
            return "from no commit"
        changes = " with uncommitted changes" if self.git_dirty else ""
        return f"from commit {self.git_commit[:12]}{changes}"

    def is_same_as(self, other: "RegisteredVersion") -> bool:
        """Whether both lines say the same of an artifact, whenever, from whichever commit and in whichever registry."""
        same = {name: getattr(other, name) for name in ("time", "git_commit", "git_dirty", "version")}
        return self.model_copy(update=same) == other


def record_version(path: Path, registered: RegisteredVersion) -> bool:
    """Append a version durably; return False if the last line about its artifact says the same.

    Raises
    ------
    SklineError
        If the file cannot be read or written.
    """
    last = _newest(read_json_lines(path, RegisteredVersion), registered.model, registered.artifact_sha256)
    if last is not None and registered.is_same_as(last):
        return False
    append_line(path, registered.model_dump_json().encode())
    return True


def find_registered(path: Path, model: str, version: str, digest: str) -> RegisteredVersion:
    """Return the newest line about the artifact of a version, which has `digest` according to the registry.

    Raises
    ------
    SklineError
        If the file does not list this digest, or cannot be read.
    """
    lines = read_json_lines(path, RegisteredVersion)
    line = _newest(lines, model, digest)
    if line is None:
        raise SklineError(_not_registered(path, lines, model, version, digest))
    return line


def parse_digest(text: str) -> str:
    """Return a digest that a person gives, without `sha256:`; SklineError if it is none."""
    try:
        return TypeAdapter(Digest).validate_python(text)
    except ValidationError:
        raise SklineError(f"{text!r} is not a digest; give the 64 hexadecimal digits of a sha256") from None


def _newest(lines: JsonLines[RegisteredVersion], model: str, digest: str) -> RegisteredVersion | None:
    """Return the last line about an artifact of a model."""
    return next(
        (each for each in reversed(lines.values) if (each.model, each.artifact_sha256) == (model, digest)), None
    )


def _not_registered(path: Path, lines: JsonLines[RegisteredVersion], model: str, version: str, digest: str) -> str:
    """Return what was found instead, and what to do.

    The digest is abbreviated: who accepts it by hand has to get it from where the model was trained.
    """
    same_version = [each.artifact_sha256 for each in lines.values if (each.model, each.version) == (model, version)]
    if same_version:
        listed = f"and {path} lists it with {same_version[-1][:12]}…: the registry was changed, or is another one"
    elif path.exists():
        listed = f"which {path} does not list among its {len(lines.values)} lines"
    else:
        listed = f"and there is no {path}, which lists what the pipeline registered"
    damaged = ", ".join(map(str, lines.damaged_lines))
    return (
        f"{model}/{version} has the digest {digest[:12]}… in the registry, {listed}"
        f"{f' (unreadable lines: {damaged})' if damaged else ''}. It was not fetched. Get the line from where it was "
        "registered (`git pull`), or write it there with `dvc repro -sf register`; or pass the digest, as "
        f"{ARTIFACT_DIGEST} has it there, with --accept-digest"
    )
