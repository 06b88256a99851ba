"""Check of the engine: which one runs, whether pyproject.toml requires it, and whether engine.json records it."""

import contextlib
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from skline import engine, paths
from skline.artifact.provenance import ENGINE
from skline.doctor.findings import Finding
from skline.doctor.origin import Origin, installed_origin, mismatch
from skline.doctor.pyproject import (
    LOCK,
    Project,
    locked,
    project_name,
    read_project,
    required,
    requirement_source,
    sources,
)
from skline.doctor.repository import git
from skline.doctor.template import ANSWERS
from skline.errors import SklineError

#: A commit that has no tag, as `git describe --tags --always` and with it Copier name it.
DESCRIBED = r"(?:.+-g)?([0-9a-f]{7,40})"


def check() -> list[Finding]:
    """Compare the engine that runs with pyproject.toml, engine.json and the version of the template's files."""
    try:
        origin = installed_origin(distribution(ENGINE))
    except PackageNotFoundError:
        message = f"skline is imported from {engine.location()}, but not installed, so that its version is unknown"
        return [Finding("broken", message, "uv sync")]
    problems = [*_check_location(origin), *_check_recorded()]
    try:
        project = read_project()
    except (OSError, ValueError):
        project = {}  # reported by the check of the environment
    if project:
        problems += [*_check_required(project, origin), *_check_template(project, origin)]
    running = Finding("ok", f"skline {engine.version()} runs in {engine.location()}, installed from {origin}")
    return [running, *problems]


def _check_location(origin: Origin) -> list[Finding]:
    """Check that the code that runs is that of the installed distribution."""
    if engine.location().resolve().is_relative_to(origin.code.resolve()):
        return []
    message = f"skline runs in {engine.location()}, but {origin.code} is installed"
    return [Finding("warning", message, "run it without PYTHONPATH")]


def _check_recorded() -> list[Finding]:
    """Check that engine.json records the code of this engine: other stages than recorded do not run."""
    remedy = "uv run skline sync"
    try:
        recorded = engine.read_record()
    except SklineError as error:
        return [Finding("broken", str(error).partition(";")[0], remedy)]
    if recorded is None:
        return [Finding("broken", f"there is no {paths.ENGINE}, which records the engine", remedy)]
    if changed := engine.changed_stages(recorded, engine.current_record()):
        message = f"{paths.ENGINE} records skline {recorded.version}; this one has other code for {', '.join(changed)}"
        return [Finding("broken", message, f"{remedy}, then uv run dvc repro")]
    return []


def _check_required(project: Project, origin: Origin) -> list[Finding]:
    """Check that the installed engine is the one that pyproject.toml requires."""
    if project_name(project) == ENGINE:  # this repository, or a clone of it
        requirements: list[Requirement] = []
        entries: list[dict[str, Any] | None] = [{"path": ".", "editable": True}]
    else:
        requirements = list(_requirements(project))
        entries = [*sources(project, ENGINE)] or [requirement_source(requirement) for requirement in requirements]
    if not entries:
        remedy = 'uv add --group serving "skline[serving]" and uv add --group train "skline[train]"'
        return [Finding("warning", f"{paths.PYPROJECT} does not require skline", remedy)]
    findings = []
    differing = [text for entry in entries if (text := mismatch(origin, entry))]
    if len(differing) == len(entries):  # several entries have markers, one of which holds here
        message = f"but {paths.PYPROJECT} requires {' or '.join(dict.fromkeys(differing))}"
        if _is_locked(origin):
            locked_text = f"{LOCK} is older than {paths.PYPROJECT}: skline is installed from {origin}, as it says, "
            findings.append(Finding("warning", locked_text + message, "uv lock, then uv sync"))
        else:
            findings.append(Finding("warning", f"skline is installed from {origin}, {message}", "uv sync"))
    unmet = [str(each.specifier) for each in requirements if not each.specifier.contains(engine.version(), True)]
    for specifier in dict.fromkeys(unmet):
        message = f"skline is {engine.version()}, but {paths.PYPROJECT} requires {specifier}"
        findings.append(Finding("broken", message, "uv sync"))
    return findings


def _is_locked(origin: Origin) -> bool:
    """Whether uv.lock pins the commit that is installed."""
    pinned = [str(package.get("source", {}).get("git", "")).rpartition("#")[2] for package in locked(ENGINE)]
    return bool(origin.commit) and origin.commit in pinned


def _requirements(project: Project) -> Iterator[Requirement]:
    """Yield the requirements of the engine; invalid ones are reported by the check of the environment."""
    for text in required(project):
        with contextlib.suppress(InvalidRequirement):
            if canonicalize_name((requirement := Requirement(text)).name) == ENGINE:
                yield requirement


def _check_template(project: Project, origin: Origin) -> list[Finding]:
    """Check that the template's files and the engine are of one revision, unless another engine is requested."""
    try:
        answers: Any = yaml.safe_load(ANSWERS.read_text(encoding="utf-8"))
        commit, source = str(answers["_commit"]), str(answers["_src_path"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return []  # reported by the check of the template
    revision = next((entry["rev"] for entry in sources(project, ENGINE) if "rev" in entry), None)
    if revision is None or answers.get("engine") or _is_same_revision(commit, source, revision, origin):
        return []
    message = f"the template's files are of {commit}, but {paths.PYPROJECT} requires the engine of {revision[:12]}"
    found = re.fullmatch(DESCRIBED, commit)
    remedy = f'set rev = "{found[1] if found else commit}" for skline in {paths.PYPROJECT}, then uv run skline sync'
    return [Finding("warning", message, remedy)]


def _is_same_revision(commit: str, source: str, revision: str, origin: Origin) -> bool:
    """Return whether Copier's name of a commit of the template can be a revision of the engine.

    A tag is resolved in the template if that is a folder of this machine, else by the version of the engine.
    """
    is_installed = origin.kind == "git" and (origin.reference == revision or origin.commit.startswith(revision))
    engine_commit = origin.commit if is_installed else revision
    if found := re.fullmatch(DESCRIBED, commit):
        return engine_commit.startswith(found[1]) or found[1].startswith(engine_commit)
    if commit == revision:
        return True
    if Path(source).is_dir() and (resolved := git("-C", source, "rev-parse", "-q", "--verify", f"{commit}^{{commit}}")):
        return resolved.startswith(engine_commit)
    try:
        return not is_installed or Version(commit) == Version(engine.version())
    except InvalidVersion:
        return True
