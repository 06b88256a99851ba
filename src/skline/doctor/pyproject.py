"""What pyproject.toml requires, where the engine comes from, and what uv.lock pins."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from skline.paths import PYPROJECT

#: What uv installs, written from pyproject.toml: `uv sync --frozen` installs it as it is.
LOCK = Path("uv.lock")
#: The content of pyproject.toml.
Project: TypeAlias = Mapping[str, Any]


def read_project() -> Project:
    """Read pyproject.toml; raises OSError, or ValueError if it is not valid TOML."""
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))


def project_name(project: Project) -> str:
    """Return the normalized name of the project, or an empty text."""
    return canonicalize_name(project.get("project", {}).get("name", ""))


def required(project: Project) -> Iterator[str]:
    """Yield the dependencies of the project and of the groups that `uv sync` installs by default."""
    yield from project.get("project", {}).get("dependencies", [])
    groups: dict[str, list[Any]] = {
        canonicalize_name(name): items for name, items in project.get("dependency-groups", {}).items()
    }
    default = _uv(project).get("default-groups", ["dev"])
    seen: set[str] = set()
    for name in groups if default == "all" else default:
        yield from _group(groups, name, seen)


def _group(groups: Mapping[str, list[Any]], name: str, seen: set[str]) -> Iterator[str]:
    """Yield the requirements of a group and of the groups that it includes, each group once."""
    if (name := canonicalize_name(name)) in seen:
        return
    seen.add(name)
    for item in groups.get(name, []):
        if isinstance(item, str):
            yield item
        else:
            yield from _group(groups, item.get("include-group", ""), seen)


def groups_with(project: Project, name: str) -> list[str]:
    """Return the dependency groups that contain a package."""
    start = re.compile(rf"{re.escape(name)}(?![\w-])")
    groups = project.get("dependency-groups", {})
    return [group for group, items in groups.items() if any(isinstance(i, str) and start.match(i) for i in items)]


def sources(project: Project, name: str) -> list[dict[str, Any]]:
    """Return the entries of [tool.uv.sources] for a package: several if they have markers, none for an index."""
    entry = _uv(project).get("sources", {}).get(name, [])
    return entry if isinstance(entry, list) else [entry]


def requirement_source(requirement: Requirement) -> dict[str, Any] | None:
    """Return the URL of a requirement in the form of an entry of [tool.uv.sources]."""
    if requirement.url is None:
        return None
    url = requirement.url.partition("#")[0]
    if not url.startswith("git+"):
        return {"url": url}
    address, _, revision = url.removeprefix("git+").rpartition("@")
    return {"git": address, "rev": revision} if "/" in address and "/" not in revision else {"git": url[4:]}


def locked(name: str) -> list[dict[str, Any]]:
    """Return the entries of uv.lock for a package: several if they have markers, none if it has no readable lock."""
    try:
        packages = tomllib.loads(LOCK.read_text(encoding="utf-8")).get("package", [])
    except (OSError, ValueError):
        return []
    normalized = canonicalize_name(name)
    return [package for package in packages if canonicalize_name(str(package.get("name", ""))) == normalized]


def _uv(project: Project) -> dict[str, Any]:
    """Return the table [tool.uv]."""
    return dict(project.get("tool", {}).get("uv", {}))
