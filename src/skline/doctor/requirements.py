"""Check of the image's requirements: they contain the libraries of the project, and those that the model needs."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import ValidationError

from skline import paths
from skline.artifact import MANIFEST, Manifest
from skline.artifact.provenance import ENGINE, PYTHON, is_same_version
from skline.doctor.artifact import REFIT
from skline.doctor.findings import Finding, join_first
from skline.doctor.pyproject import Project, read_project
from skline.paths import PYPROJECT

#: What the Dockerfile installs for its targets `full` and `plan`.
REQUIREMENTS, PLAN_REQUIREMENTS = Path("requirements/serving.txt"), Path("requirements/plan.txt")
REMEDY = "uv run just requirements"


def check() -> list[Finding]:
    """Compare requirements/serving.txt with the libraries of the project, and with those that the artifact needs."""
    if not REQUIREMENTS.exists():
        return []  # a project without an image
    try:
        project = read_project()
    except (OSError, ValueError):
        return []  # reported by the check of the environment
    pinned = pins(REQUIREMENTS.read_text(encoding="utf-8"))
    problems = []
    for requirement in libraries(project):
        version = pinned.get(canonicalize_name(requirement.name))
        if version is None:
            problems.append(f"{requirement.name} is missing")
        elif not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{requirement.name} is {version}, but {requirement.specifier} is required")
    if problems:
        message = (
            f"{REQUIREMENTS} does not satisfy {PYPROJECT}: {join_first(problems)}; the image cannot load the model"
        )
        return [Finding("broken", message, REMEDY)]
    return [*_check_artifact(pinned), *_check_plan_target(pinned)] or [
        Finding("ok", f"{REQUIREMENTS} pins {len(pinned)} libraries, with those of {PYPROJECT}")
    ]


def _check_artifact(pinned: Mapping[str, str]) -> list[Finding]:
    """Compare the pins with the libraries that the artifact was made with."""
    try:
        manifest = Manifest.model_validate_json((paths.ARTIFACT / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return []  # no artifact yet, or reported by its own check
    made_with = {name: version for name, version in manifest.libraries.items() if name != PYTHON}
    missing = [name for name in made_with if canonicalize_name(name) not in pinned]
    if missing:
        message = (
            f"{REQUIREMENTS} lacks {join_first(missing)}, which the artifact needs; the image cannot load the model. "
            f"The image contains the libraries of `dependencies` in {PYPROJECT}, not those of the groups train and dev"
        )
        return [Finding("broken", message, f"uv add {' '.join(missing)}, then {REMEDY}")]
    other = [
        f"{name} {pinned[canonicalize_name(name)]} (artifact: {version})"
        for name, version in made_with.items()
        if not is_same_version(name, version, pinned[canonicalize_name(name)])
    ]
    if not other:
        return []
    message = f"{REQUIREMENTS} pins other versions than those that the artifact was made with: {join_first(other)}"
    return [Finding("warning", message, f"{REMEDY}, or install the pinned versions and {REFIT}")]


def _check_plan_target(pinned: Mapping[str, str]) -> list[Finding]:
    """Compare the pins of the target `plan` with those of the target `full`, of which they are a part."""
    if not PLAN_REQUIREMENTS.exists():
        return []
    other = [
        f"{name} {version} ({REQUIREMENTS}: {pinned.get(name, 'none')})"
        for name, version in pins(PLAN_REQUIREMENTS.read_text(encoding="utf-8")).items()
        if pinned.get(name) != version
    ]
    if not other:
        return []
    message = f"{PLAN_REQUIREMENTS} pins other versions than {REQUIREMENTS}: {join_first(other)}"
    return [Finding("warning", message, REMEDY)]


def pins(text: str) -> dict[str, str]:
    """Return the normalized name and the version of each line `name==version` of a requirements file."""
    found = re.findall(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==([^\s;\\]+)", text, flags=re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def libraries(project: Project) -> Iterator[Requirement]:
    """Yield the dependencies of the project that apply here, without the engine."""
    for text in project.get("project", {}).get("dependencies", []):
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # reported by the check of the environment
        is_engine = canonicalize_name(requirement.name) == ENGINE
        if not is_engine and (requirement.marker is None or requirement.marker.evaluate()):
            yield requirement
