"""Check of the environment: Python and the libraries satisfy pyproject.toml."""

import platform
import sqlite3
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from skline.artifact.provenance import ENGINE
from skline.doctor.findings import Finding, join_first
from skline.doctor.pyproject import LOCK, Project, locked, project_name, read_project, required
from skline.errors import SklineError
from skline.logs.stores.sqlite import check_version
from skline.paths import PYPROJECT


def check() -> list[Finding]:
    """Compare the running Python and the installed libraries with pyproject.toml."""
    try:
        project = read_project()
    except OSError as error:
        return [Finding("broken", f"{PYPROJECT} cannot be read ({error.strerror})", "run this in the project's root")]
    except tomllib.TOMLDecodeError as error:
        return [Finding("broken", f"{PYPROJECT} is not valid TOML: {error}", "correct it, or `git checkout` it")]
    return [*_check_python(project), *_check_sqlite(sqlite3.sqlite_version), *_check_libraries(project)]


def _check_python(project: Project) -> list[Finding]:
    requirement, running = project.get("project", {}).get("requires-python", ""), platform.python_version()
    if SpecifierSet(requirement).contains(running, prereleases=True):
        return [Finding("ok", f"Python {running}")]
    message = f"Python is {running}, but {PYPROJECT} requires {requirement}"
    return [Finding("broken", message, "uv sync --python " + requirement.strip("><=~"))]


def _check_sqlite(version: str) -> list[Finding]:
    """Check that the prediction log can be written; the other findings do not mention a version that is right."""
    try:
        check_version(version)
    except SklineError as error:
        return [Finding("broken", str(error), "uv python install && uv sync --managed-python")]
    return []


def _check_libraries(project: Project) -> list[Finding]:
    """Check what the project and its default groups require, with the extras, and what the engine requires."""
    requirements = []
    for text in required(project):
        try:
            requirements.append(Requirement(text))
        except InvalidRequirement as error:
            message = f"{PYPROJECT} has the invalid requirement {text!r}: {str(error).splitlines()[0]}"
            return [Finding("broken", message, "correct it")]
    problems, checked = _unsatisfied(requirements, project)
    if problems:
        if stale := _stale_pins(requirements):
            message = f"{LOCK} is older than {PYPROJECT}: {join_first(stale)}"
            return [Finding("broken", message, "uv lock, then uv sync")]
        return [Finding("broken", f"libraries do not satisfy {PYPROJECT}: {join_first(problems)}", "uv sync")]
    return [Finding("ok", f"{checked} libraries satisfy {PYPROJECT}")]


def _stale_pins(requirements: Iterable[Requirement]) -> list[str]:
    """Return the libraries that uv.lock pins at versions which the project does not allow."""
    stale = []
    for requirement in requirements:
        versions = [str(package["version"]) for package in locked(requirement.name) if "version" in package]
        is_engine = canonicalize_name(requirement.name) == ENGINE
        if versions and not is_engine and not any(requirement.specifier.contains(each, True) for each in versions):
            pins = f"{requirement.name} {' and '.join(versions)}"
            stale.append(f"it pins {pins}, but {requirement.specifier} is required")
    return stale


def _unsatisfied(requirements: Iterable[Requirement], project: Project) -> tuple[list[str], int]:
    """Return what is wrong with the installed libraries, and how many were checked."""
    problems, queue, seen, names = list[str](), list(requirements), set[str](), set[str]()
    while queue:
        requirement = queue.pop(0)
        if str(requirement) in seen or not (requirement.marker is None or requirement.marker.evaluate()):
            continue
        seen.add(str(requirement))
        name = canonicalize_name(requirement.name)
        if name == project_name(project):  # one of its own extras
            extras = project["project"].get("optional-dependencies", {})
            queue += [Requirement(text) for extra in requirement.extras for text in extras.get(extra, [])]
            continue
        names.add(name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            problems.append(f"{requirement.name} is not installed")
            continue
        problems += _problems_of(installed, requirement)
        queue += _required_by(installed, requirement.extras)
    return problems, len(names)


def _problems_of(installed: Distribution, requirement: Requirement) -> list[str]:
    """Return how an installed distribution differs from what is required of it."""
    name, version = requirement.name, installed.version
    known = {canonicalize_name(extra) for extra in installed.metadata.get_all("Provides-Extra", [])}
    unknown = {canonicalize_name(extra) for extra in requirement.extras} - known
    problems = [f"{name} {version} has no extra {extra!r}" for extra in sorted(unknown)]
    is_engine = canonicalize_name(name) == ENGINE  # the check of the engine compares its version
    if not is_engine and not requirement.specifier.contains(version, prereleases=True):
        problems.append(f"{name} is {version}, but {requirement.specifier} is required")
    return problems


def _required_by(installed: Distribution, extras: set[str]) -> list[Requirement]:
    """Return what a distribution requires with these extras; without extras, only what the engine requires."""
    selected = extras | ({""} if canonicalize_name(installed.metadata["Name"]) == ENGINE else set())
    needed = []
    for requirement in map(Requirement, installed.requires or []):
        marker, requirement.marker = requirement.marker, None
        if any(marker is None or marker.evaluate({"extra": extra}) for extra in selected):
            needed.append(requirement)
    return needed
