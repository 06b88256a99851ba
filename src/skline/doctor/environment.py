"""Python and the libraries, against what pyproject.toml asks for."""

import platform
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from skline.doctor.finding import Finding, several

PYPROJECT = Path("pyproject.toml")


def check() -> list[Finding]:
    """Compare the running Python and the installed libraries with pyproject.toml."""
    try:
        asked = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    except OSError as error:
        return [Finding("broken", f"{PYPROJECT} cannot be read ({error.strerror})", "run this from the project's root")]
    except tomllib.TOMLDecodeError as error:
        return [Finding("broken", f"{PYPROJECT} is no TOML: {error}", "correct it, or `git checkout` it")]
    return [*_python(asked), *_libraries(asked)]


def _python(asked: dict[str, Any]) -> list[Finding]:
    """Whether this Python is one of those that the project is for."""
    wanted, found = asked.get("project", {}).get("requires-python", ""), platform.python_version()
    if SpecifierSet(wanted).contains(found, prereleases=True):
        return [Finding("ok", f"Python {found}")]
    return [
        Finding(
            "broken", f"Python is {found}, {PYPROJECT} asks for {wanted}", "uv sync --python " + wanted.strip("><=~")
        )
    ]


def _libraries(asked: dict[str, Any]) -> list[Finding]:
    """Whether what the project needs, and its default groups, is installed within bounds."""
    groups = asked.get("dependency-groups", {})
    default = asked.get("tool", {}).get("uv", {}).get("default-groups", ["dev"])
    texts = [*asked.get("project", {}).get("dependencies", [])]
    texts += [text for group in default for text in groups.get(group, []) if isinstance(text, str)]
    wrong, checked = [], 0
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            return [Finding("broken", f"{PYPROJECT} asks for {text!r}: {str(error).splitlines()[0]}", "correct it")]
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        checked += 1
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} is {found}, asked for is {requirement.specifier}")
    if wrong:
        return [Finding("broken", f"libraries are not those of {PYPROJECT}: {several(wrong)}", "uv sync")]
    return [Finding("ok", f"{checked} libraries are within the bounds of {PYPROJECT}")]
