"""Git and DVC: is there a repository, is what decides the model committed, is dvc.lock up to date."""

import json
import subprocess
import sys
from pathlib import Path

from skline import paths
from skline.doctor.finding import Finding, several

#: What decides the model: an artifact made while these differ from the last commit cannot be made again from it.
DECIDING = ("src/model", "params.yaml", "dvc.yaml")
#: Files with the marks of a merge that nobody finished.
MARKED = ("*.py", "*.toml", "*.yaml", "*.yml", "*.md", "*.txt", "Dockerfile")
#: Words of `dvc status` for a result that is right, but not kept in DVC's cache.
NOT_KEPT = "not in cache"


def git(*words: str) -> str | None:
    """Return what git says; None if it fails, is not installed, or this is no repository."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError:
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def check_git() -> list[Finding]:
    """Look at the repository, at a merge that was left half-way, and at what is not committed."""
    if git("rev-parse", "--is-inside-work-tree") != "true":
        config = Path(".dvc/config")
        if config.is_file() and "no_scm" in config.read_text(encoding="utf-8"):
            return [
                Finding("look", "there is no git repository; DVC is told to do without", "git init, to keep versions")
            ]
        return [Finding("broken", "this is no git repository, and DVC refuses to run outside one", "git init")]
    found = [*_merges()]
    if git("rev-parse", "--verify", "-q", "HEAD") is None:
        return [*found, Finding("look", "nothing is committed yet", "git add -A && git commit")]
    changed = [line[3:] for line in (git("status", "--porcelain", "--", *DECIDING) or "").splitlines()]
    if changed:
        found.append(
            Finding(
                "look",
                f"not committed: {several(changed)}; a model made now cannot be made again from a commit",
                "git add -A && git commit",
            )
        )
    return found or [Finding("ok", "git: what decides the model is committed")]


def _merges() -> list[Finding]:
    """Files with marks of a conflict, and patches that `copier update` could not apply."""
    unmerged = (git("diff", "--name-only", "--diff-filter=U") or "").splitlines()
    marked = (git("grep", "-lE", "^(<<<<<<< |>>>>>>> )", "--", *MARKED) or "").splitlines()
    rejected = (git("ls-files", "--others", "--", "*.rej") or "").splitlines()
    found = []
    if conflicts := sorted({*unmerged, *marked}):
        remedy = "settle what stands between <<<<<<< and >>>>>>>, then git add"
        found.append(Finding("broken", f"a merge is not finished in {several(conflicts)}", remedy))
    if rejected:
        remedy = "put what they hold where it belongs, then delete them"
        found.append(Finding("broken", f"`copier update` left patches that did not fit: {several(rejected)}", remedy))
    return found


def check_dvc() -> list[Finding]:
    """Ask DVC whether what dvc.lock says still holds."""
    if not Path(".dvc").is_dir():
        return [Finding("broken", "there is no .dvc/ here", "uv run dvc init")]
    if not paths.DVC_LOCK.is_file():
        return [Finding("look", "the line has never run here: there is no dvc.lock", "uv run dvc repro")]
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[:300]
        return [Finding("broken", f"`dvc status` fails: {said}", "correct what it names")]
    changes = _changes(done.stdout)
    stale = [f"{stage} ({several(why, 2)})" for stage, why in changes.items() if why]
    if stale:
        return [Finding("look", f"dvc.lock is behind: {several(stale, 3)}", "uv run dvc repro")]
    if changes:
        return [Finding("look", f"results of {several(list(changes))} are not in DVC's cache", "uv run dvc repro")]
    return [Finding("ok", "dvc.lock is up to date")]


def _changes(status: str) -> dict[str, list[str]]:
    """By stage, what changed; an empty list where results are only not in the cache."""
    changes: dict[str, list[str]] = {}
    for stage, entries in json.loads(status or "{}").items():
        why = changes.setdefault(stage, [])
        for entry in entries:
            if not isinstance(entry, dict):
                why.append(str(entry))
                continue
            for things in entry.values():
                why += [f"{name} {word}" for name, word in _flat(things) if word != NOT_KEPT]
    return changes


def _flat(things: object, name: str = "") -> list[tuple[str, str]]:
    """Name each changed thing; parameters stand one level deeper than files."""
    if not isinstance(things, dict):
        return [(name, str(things))]
    return [pair for key, value in things.items() for pair in _flat(value, str(key))]
