"""Checks of git and DVC: what determines the model is committed, and dvc.lock is up to date."""

import json
import subprocess
import sys
from pathlib import Path

from skline import paths
from skline.doctor.findings import Finding, join_first
from skline.errors import SklineError
from skline.release.verdict import read_verdict

#: What determines the model: an artifact that was made with uncommitted changes here cannot be made again.
MODEL_INPUTS = ("src/model", "params.yaml", "dvc.yaml", "engine.json", "pyproject.toml")
#: Files that are searched for conflict markers.
MERGED_FILES = (
    "*.py", "*.toml", "*.yaml", "*.yml", "*.json", "*.md", "*.txt", "*.lock", "Dockerfile", "justfile", ".*ignore",
)  # fmt: skip
#: State in the output of `dvc status` of an output that is up to date but not in DVC's cache.
NOT_IN_CACHE = "not in cache"


def check_git() -> list[Finding]:
    """Check that there is a repository, without unfinished merges and uncommitted changes to the model."""
    if git("rev-parse", "--is-inside-work-tree") != "true":
        config = Path(".dvc/config")
        if config.is_file() and "no_scm" in config.read_text(encoding="utf-8"):
            message = "there is no git repository; DVC is configured to run without one"
            return [Finding("warning", message, "git init, to keep versions")]
        return [Finding("broken", "this is not a git repository, and DVC does not run outside of one", "git init")]
    findings = [*_check_merges()]
    if git("rev-parse", "--verify", "-q", "HEAD") is None:
        return [*findings, Finding("warning", "there is no commit yet", "git add -A && git commit")]
    changed = [line[3:] for line in (git("status", "--porcelain", "--", *MODEL_INPUTS) or "").splitlines()]
    if changed:
        message = f"not committed: {join_first(changed)}; a model made now cannot be made again from a commit"
        findings.append(Finding("warning", message, "git add -A && git commit"))
    return findings or [Finding("ok", "git: all that determines the model is committed")]


def git(*arguments: str) -> str | None:
    """Return the output of git; None if it fails, is not installed, or this is not a repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError:
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def _check_merges() -> list[Finding]:
    """Find files with conflict markers, and patches that `copier update` could not apply."""
    unmerged = (git("diff", "--name-only", "--diff-filter=U") or "").splitlines()
    marked = (git("grep", "-lE", "^(<<<<<<< |>>>>>>> )", "--", *MERGED_FILES) or "").splitlines()
    rejected = (git("ls-files", "--others", "--", "*.rej") or "").splitlines()
    findings = []
    if conflicts := sorted({*unmerged, *marked}):
        remedy = "resolve the conflicts between <<<<<<< and >>>>>>>, then git add"
        findings.append(Finding("broken", f"a merge is not finished in {join_first(conflicts)}", remedy))
    if rejected:
        message = f"`copier update` left patches that it could not apply: {join_first(rejected)}"
        findings.append(Finding("broken", message, "apply them by hand, then delete them"))
    return findings


def check_dvc() -> list[Finding]:
    """Check that the outputs in dvc.lock are those of the current code, data and parameters."""
    if not Path(".dvc").is_dir():
        return [Finding("broken", "there is no .dvc/ here", "uv run dvc init")]
    if not paths.DVC_LOCK.is_file():
        return [Finding("warning", "the pipeline has never run: there is no dvc.lock", "uv run dvc repro")]
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        output = " ".join(done.stderr.split())[:300]
        return [Finding("broken", f"`dvc status` fails: {output}", "correct what it names")]
    changes = _parse_status(done.stdout)
    if _gate_failed():  # these stages cannot run before a model passes; the check of the artifact reports that
        changes = {stage: reasons for stage, reasons in changes.items() if stage not in ("gate", "register")}
    stale = [f"{stage} ({join_first(reasons, 2)})" for stage, reasons in changes.items() if reasons]
    if stale:
        return [Finding("warning", f"dvc.lock is out of date: {join_first(stale, 3)}", "uv run dvc repro")]
    if changes:
        return [
            Finding("warning", f"outputs of {join_first(list(changes))} are not in DVC's cache", "uv run dvc repro")
        ]
    return [Finding("ok", "dvc.lock is up to date")]


def _gate_failed() -> bool:
    """Whether the newest verdict is a rejection; an unreadable one is reported by the check of the artifact."""
    try:
        return not read_verdict(paths.VERDICT).passed
    except SklineError:
        return False


def _parse_status(status: str) -> dict[str, list[str]]:
    """Return the changes by stage; an empty list if outputs are only missing from the cache."""
    changes: dict[str, list[str]] = {}
    for stage, entries in json.loads(status or "{}").items():
        reasons = changes.setdefault(stage, [])
        for entry in entries:
            if not isinstance(entry, dict):
                reasons.append(str(entry))
                continue
            for states in entry.values():
                reasons += [f"{name} {state}" for name, state in _flatten(states) if state != NOT_IN_CACHE]
    return changes


def _flatten(states: object, name: str = "") -> list[tuple[str, str]]:
    """Return (name, state) of each change; parameters are nested one level deeper than files."""
    if not isinstance(states, dict):
        return [(name, str(states))]
    return [pair for key, value in states.items() for pair in _flatten(value, str(key))]
