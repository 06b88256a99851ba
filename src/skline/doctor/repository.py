"""Checks of git and DVC: what determines the model is committed, and dvc.lock is up to date."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from skline import paths
from skline.doctor.findings import Finding, join_first
from skline.errors import SklineError
from skline.project import has_remote
from skline.release.verdict import read_verdict

#: What determines the model: an artifact that was made with uncommitted changes here cannot be made again.
MODEL_INPUTS = ("src/model", "params.yaml", "dvc.yaml", "engine.json", "pyproject.toml")
#: Files that are searched for conflict markers.
MERGED_FILES = (
    "*.py", "*.toml", "*.yaml", "*.yml", "*.json", "*.md", "*.txt", "*.lock", "Dockerfile", "justfile", ".*ignore",
)  # fmt: skip
#: States in the output of `dvc status`: of an output that is not in the workspace, and of one that is up to date,
#: but not in DVC's cache.
DELETED, NOT_IN_CACHE = "deleted", "not in cache"
#: The stages that do not run before a model passes the gates.
WAITING = ("gate", "register")


class Change(NamedTuple):
    """One difference between dvc.lock and the workspace; `is_output` if it is, or follows from, that of an output."""

    stage: str
    name: str
    state: str
    is_output: bool


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
    return diagnose_all(parse_status(done.stdout), gate_failed=_gate_failed(), has_remote=has_remote())


def diagnose_all(changes: Sequence[Change], *, gate_failed: bool, has_remote: bool) -> list[Finding]:
    """Return the finding on all that `dvc status` lists; after a rejection one of its own on the stages that wait."""
    is_waiting = gate_failed and any(
        change.stage == WAITING[0] and change.state not in (DELETED, NOT_IN_CACHE) for change in changes
    )
    if not is_waiting:
        return [diagnose(changes, has_remote=has_remote)]
    waiting = [stage for stage in WAITING if any(change.stage == stage for change in changes)]
    message = (
        f"the gate has not passed: dvc.lock is out of date for {', '.join(waiting)}, which wait for a model that passes"
    )
    finding = Finding("warning", message, f"see {paths.REPORT}")
    others = [change for change in changes if change.stage not in WAITING]
    return [*([diagnose(others, has_remote=has_remote)] if others else []), finding]


def diagnose(changes: Sequence[Change], *, has_remote: bool) -> Finding:
    """Return the causes of all that `dvc status` lists, and the stages that it lists besides.

    Another release is no fault: `skline promote` and `rollback` make one, and the verdict on the model was right then.
    """
    model_changes = [change for change in changes if change.name != paths.RELEASES.as_posix()]
    if changes and not model_changes:
        message = "dvc.lock is up to date but for the release: the next `dvc repro` compares with its champion"
        return Finding("ok", message)
    changes = model_changes
    causes = [change for change in changes if not change.is_output]
    if causes:
        by_stage: dict[str, list[str]] = {}
        for change in causes:
            by_stage.setdefault(change.stage, []).append(f"{change.name} {change.state}".strip())
        stale = ", ".join(f"{stage} ({join_first(reasons, 2)})" for stage, reasons in by_stage.items())
        others = ", ".join(dict.fromkeys(change.stage for change in changes if change.stage not in by_stage))
        message = f"dvc.lock is out of date: {stale}" + (f"; `dvc status` also lists {others}" if others else "")
        return Finding("warning", message, "uv run dvc repro")
    return _diagnose_outputs(changes, has_remote=has_remote)


def _diagnose_outputs(changes: Sequence[Change], *, has_remote: bool) -> Finding:
    """Return what is wrong with the outputs, where every stage is that of dvc.lock."""
    names = {
        state: list(dict.fromkeys(change.name for change in changes if change.state == state))
        for state in dict.fromkeys(change.state for change in changes)
    }
    missing = names.pop(DELETED, [])
    uncached = names.pop(NOT_IN_CACHE, [])
    if other := [name for each in names.values() for name in each]:
        message = (
            f"outputs are not those that dvc.lock records, as after `git stash` or a change of the commit: "
            f"{join_first(other)}"
        )
        return Finding("warning", message, "uv run dvc checkout, or uv run dvc repro to make them again")
    if missing == [paths.REGISTERED_DIGEST.as_posix()]:
        return Finding("warning", "this clone has not registered the artifact in its registry", "uv run dvc repro")
    if missing:
        message = f"outputs that dvc.lock records are not here, as in a new clone: {join_first(missing)}"
        return Finding("warning", message, "uv run dvc pull" if has_remote else _make_again(changes))
    if uncached:
        message = f"outputs are not in DVC's cache: {join_first(uncached)}"
        return Finding("warning", message, _make_again(changes))
    return Finding("ok", "dvc.lock is up to date")


def _make_again(changes: Sequence[Change]) -> str:
    """Return how to make outputs again; what .dvc files track is no stage's output."""
    tables = [each.name for each in changes if each.stage.endswith(".dvc") and not Path(each.name).exists()]
    copy = f"get {join_first(sorted(set(tables)))} from where it is tracked, then " if tables else ""
    return f"{copy}uv run dvc repro"


def _gate_failed() -> bool:
    """Whether the newest verdict is a rejection; an unreadable one is reported by the check of the artifact."""
    try:
        return not read_verdict(paths.VERDICT).passed
    except SklineError:
        return False


def parse_status(status: str) -> list[Change]:
    """Return what `dvc status --json` lists.

    A dependency that another stage writes is no cause if that output is listed too. If it is not, dvc.lock records the
    output as it is, and the stage has not run with it: it was interrupted, or failed.
    """
    kinds: list[tuple[str, str, str, str]] = []
    for stage, entries in json.loads(status or "{}").items():
        for entry in entries:
            if not isinstance(entry, dict):
                kinds.append((stage, "", str(entry), ""))
                continue
            kinds += [(stage, kind, *change) for kind, states in entry.items() for change in _flatten(states)]
    written = {name for _, kind, name, _ in kinds if kind == "changed outs"}
    return [
        Change(stage, name, state, is_output=any(name == out or name.startswith(f"{out}/") for out in written))
        for stage, _, name, state in kinds
    ]


def _flatten(states: object, name: str = "") -> list[tuple[str, str]]:
    """Return (name, state) of each change; parameters are nested one level deeper than files."""
    if not isinstance(states, dict):
        return [(name, str(states))]
    return [pair for key, value in states.items() for pair in _flatten(value, str(key))]
