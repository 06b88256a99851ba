"""Check of releases: what they need from git and DVC, what a killed command has left, and what services here serve."""

from pathlib import Path

from skline import paths
from skline.artifact import Artifact, InvalidArtifact
from skline.doctor.findings import Finding, Level, join_first
from skline.doctor.repository import git
from skline.errors import SklineError
from skline.files import read_json_lines
from skline.release.artifacts import interrupted_fetches
from skline.release.manifest import read_manifest
from skline.release.registered import RegisteredVersion
from skline.release.services import FOLDER, describe_rejections, read_statuses

ROLL_BACK = "uv run skline rollback --to NUMBER, a release that it serves (uv run skline releases lists them)"
DVCIGNORE = Path(".dvcignore")
#: What changes in releases/ without changing the champion: the stage assess depends on the rest.
NOT_FOR_DVC = (paths.REGISTERED.as_posix(), (paths.RELEASES / FOLDER).as_posix())


def check() -> list[Finding]:
    """Check the record of registered versions, what DVC ignores, the released artifacts, leftovers, and services."""
    try:
        lines = read_json_lines(paths.REGISTERED, RegisteredVersion)
    except SklineError as error:
        return [Finding("broken", str(error), f"git restore {paths.REGISTERED}")]
    findings = []
    if lines.damaged_lines:
        numbers = ", ".join(map(str, lines.damaged_lines))
        message = f"{paths.REGISTERED} has lines that cannot be read: {numbers}; their versions cannot be promoted"
        findings.append(Finding("warning", message, "uv run dvc repro -sf register, where they were registered"))
    if git("check-ignore", paths.REGISTERED.as_posix()) is not None:
        message = f"git ignores {paths.REGISTERED}: other machines cannot promote what is registered here"
        findings.append(Finding("warning", message, "uvx copier update, or remove what ignores it from .gitignore"))
    ignored = DVCIGNORE.read_text(encoding="utf-8").split() if DVCIGNORE.is_file() else []
    if paths.RELEASES.is_dir() and (missing := [name for name in NOT_FOR_DVC if name not in ignored]):
        message = f"{DVCIGNORE} lacks {' and '.join(missing)}: the stage assess runs again without need"
        findings.append(Finding("warning", message, "uvx copier update, or add them"))
    if leftovers := interrupted_fetches(paths.RELEASED):
        message = f"commands that were killed left parts of artifacts: {join_first([str(each) for each in leftovers])}"
        findings.append(Finding("warning", message, "skline promote removes them, or rm -r"))
    findings += [*_check_artifacts(), *_check_services()]
    count = len({each.artifact_sha256 for each in lines.values})
    return findings or [Finding("ok", f"{paths.REGISTERED} lists {count} {'artifact' if count == 1 else 'artifacts'}")]


def _check_artifacts() -> list[Finding]:
    """Report the artifacts of the release that are missing or damaged."""
    try:
        release = read_manifest(paths.RELEASE)
    except SklineError as error:
        return [Finding("broken", str(error), ROLL_BACK)]
    findings = []
    for arm in () if release is None else release.arms:
        folder = paths.RELEASES / arm.artifact
        fetch = f"uv run skline promote {arm.number}" if arm.name == "champion" else "uv run skline abort"
        try:
            Artifact.open(arm.folder(paths.RELEASES), arm.sha256)
        except InvalidArtifact as error:
            findings.append(Finding("broken", str(error), f"rm -r {folder}; {fetch}" if folder.exists() else fetch))
    return findings


def _check_services() -> list[Finding]:
    """Report the services on this machine that reject the release, or without a release the newest artifact."""
    remedy = f"do what the reason says; of a release also: {ROLL_BACK}"
    level: Level = "broken" if paths.RELEASE.is_file() else "warning"
    return [Finding(level, line, remedy) for line in describe_rejections(read_statuses(paths.RELEASE))]
