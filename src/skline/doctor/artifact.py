"""Check of the artifact: it has the expected digest, and the installed libraries can load it."""

from skline import paths
from skline.artifact import Artifact, InvalidArtifact, read_digest
from skline.artifact.provenance import differing_libraries
from skline.doctor.findings import Finding, join_first
from skline.errors import SklineError
from skline.release.verdict import read_verdict
from skline.scoring.plan_storage import NOT_OF_PLANS

#: Libraries whose pickles only the version that wrote them can read.
SAME_VERSION_REQUIRED = ("scikit-learn",)
RESTORE = "uv run dvc checkout artifact; if DVC's cache lacks it, uv run dvc repro -sf gate"
#: `-f` without `-s` would run all stages before train again, too, and none after it.
REFIT = "uv run dvc repro -sf train, then uv run dvc repro"


def check() -> list[Finding]:
    """Report what the gates rejected; verify the artifact as the service does, and compare its libraries."""
    return [*_check_verdict(), *_check_artifact()]


def _check_verdict() -> list[Finding]:
    """Report the gates that the newest candidate failed."""
    if not paths.VERDICT.exists():
        return []
    try:
        verdict = read_verdict(paths.VERDICT)
    except SklineError as error:
        return [Finding("broken", str(error), "uv run dvc repro")]
    if verdict.passed:
        return []
    message = f"the gates rejected the newest model {verdict.artifact_sha256[:12]}: {verdict.failures()}"
    remedy = f"see {paths.REPORT}; change the model or the limits in params.yaml, and run uv run dvc repro"
    return [Finding("warning", message, remedy)]


def _explain_missing() -> list[Finding]:
    """Say what it means that there is no artifact/; nothing if the check of DVC reports it."""
    if paths.RELEASE.is_file():
        message = f"there is no {paths.ARTIFACT}/; the service does not need it: {paths.RELEASE} is in force"
        return [Finding("ok", message)]
    was_made = paths.ARTIFACT_DIGEST.is_file() and paths.DVC_LOCK.is_file()
    return [] if was_made else [Finding("warning", "there is no artifact to serve yet", "uv run dvc repro")]


def _check_artifact() -> list[Finding]:
    """Verify the artifact, and compare the libraries that wrote it with the installed ones."""
    if not paths.ARTIFACT.is_dir():
        return _explain_missing()
    try:
        artifact = Artifact.open(paths.ARTIFACT, read_digest(paths.ARTIFACT_DIGEST))
    except InvalidArtifact as error:
        return [Finding("broken", str(error), RESTORE)]
    recorded = artifact.manifest.libraries
    differing = differing_libraries(recorded)
    if not differing:
        return [Finding("ok", f"artifact {artifact.version} is intact and fits the installed libraries")]
    versions = join_first([f"{name} {recorded[name]} (installed: {differing[name] or 'none'})" for name in differing])
    message = f"artifact {artifact.version} was made with {versions}"
    if missing := [name for name, installed in differing.items() if installed is None]:
        message += "; the service cannot load the pipeline"
        return [Finding("broken", message, f"uv sync, or uv add {' '.join(missing)}")]
    if set(differing) & set(SAME_VERSION_REQUIRED):
        message += "; scikit-learn cannot load a pipeline of another version"
        return [Finding("broken", message, REFIT)]
    if differing.keys() - set(NOT_OF_PLANS):
        message += "; the service does not use the stored plan"
    message += "; the service rejects it if a prediction for a golden row differs in a bit"
    return [Finding("warning", message, REFIT)]
