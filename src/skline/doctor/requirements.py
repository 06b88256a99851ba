"""Check of the image's requirements: they contain the libraries of the project, which the model may need."""

import re
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from skline.artifact.provenance import ENGINE
from skline.doctor.findings import Finding, join_first
from skline.doctor.pyproject import Project, read_project
from skline.paths import PYPROJECT

#: What the Dockerfile installs.
REQUIREMENTS = Path("requirements/serving.txt")
REMEDY = "uv run just requirements"


def check() -> list[Finding]:
    """Compare requirements/serving.txt with the libraries of the project, which pipeline.joblib may need."""
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
            problems.append(f"{requirement.name} is {version}, required is {requirement.specifier}")
    if problems:
        message = (
            f"{REQUIREMENTS} does not satisfy {PYPROJECT}: {join_first(problems)}; the image cannot load the model"
        )
        return [Finding("broken", message, REMEDY)]
    return [Finding("ok", f"{REQUIREMENTS} pins {len(pinned)} libraries, with those of {PYPROJECT}")]


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
