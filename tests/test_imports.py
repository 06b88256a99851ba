"""The map of imports: no circle between files or packages, and arrows that point one way.

Imports inside functions count as well: they avoid an error at import time, not the circle.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.fixtures.demo import ROOT

#: Folder → packages and modules that no file in it imports.
FORBIDDEN = {
    "src/skline/serving": (
        "dvc", "mlflow", "model", "pandera", "skline.commands", "skline.doctor", "skline.evaluation", "skline.init",
        "skline.lineage", "skline.monitoring", "skline.registry", "skline.search", "skline.settings", "skline.stages",
        "skline.testing", "skline.tuning",
    ),
    "src/model": ("dvc", "mlflow", "serving", "skline.registry", "skline.scoring", "skline.serving", "skline.stages"),
    "src/skline": ("dvc", "serving"),
    "src/skline/contract": ("skline.artifact", "skline.scoring", "skline.settings", "skline.stages"),
    "src/skline/scoring": ("skline.batch", "skline.evaluation", "skline.release", "skline.settings", "skline.stages"),
    "src/skline/monitoring": (
        "mlflow", "model", "pandera", "skline.commands", "skline.registry", "skline.retraining", "skline.serving",
        "skline.stages",
    ),
    "src/skline/retraining": ("mlflow", "model", "skline.commands", "skline.serving"),
    "src/skline/stages": ("skline.commands", "skline.lineage", "skline.monitoring", "skline.retraining"),
    "src/skline/lineage": (
        "mlflow", "model", "pandera", "skline.commands", "skline.monitoring", "skline.serving", "skline.stages",
    ),
    "src/skline/logs": ("skline.serving", "skline.stages", "skline.evaluation"),
}  # fmt: skip
#: The only packages that import the project's model, and the only ones that import the service.
IMPORT_MODEL = ("skline.stages",)
IMPORT_SERVING = ("skline.commands", "skline.serving", "serving")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "src" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def files() -> dict[str, Path]:
    """Module name → file, for the engine, the project's model and its service."""
    return {module_of(path): path for folder in ("src", "serving") for path in (ROOT / folder).rglob("*.py")}


def imported_names(path: Path) -> set[str]:
    """Every module or name that a file imports, anywhere in it, as dotted names; `from a import b` is `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_module(name: str) -> str | None:
    """Return the project's module that a dotted name belongs to: itself, or the one that it is an attribute of."""
    while name:
        if name in files():
            return name
        name = name.rpartition(".")[0]
    return None


@cache
def imports() -> dict[str, frozenset[str]]:
    """Module → the project's modules that it imports."""
    return {
        module: frozenset(m for m in map(own_module, imported_names(path)) if m is not None and m != module)
        for module, path in files().items()
    }


def package_of(module: str) -> str:
    """Return the package a module belongs to: `skline.logs`, `skline.serving.transport`; a single module is its own."""
    parts = module.split(".")
    depth = 3 if parts[:2] == ["skline", "serving"] else 2
    return ".".join(parts[:depth])


def packages() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for module, others in imports().items():
        package = graph.setdefault(package_of(module), set())
        package |= {package_of(other) for other in others} - {package_of(module)}
    graph.pop("skline.serving", None)  # its __init__ is a docstring
    graph.pop("skline", None)  # its __init__ has two names, which it imports on first use; the map of files has it
    return graph


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return one circle of a graph, its first node repeated at the end; empty if there is none."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph.get(node, ())):
            if found := visit(other, [*path, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := visit(node, []))), [])


def test_circle_is_found_and_named() -> None:
    assert circle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
    assert circle({"a": ["b", "c"], "b": ["c"], "c": []}) == []


def test_files_do_not_import_in_a_circle() -> None:
    assert circle(imports()) == []


def test_packages_do_not_import_in_a_circle() -> None:
    assert circle(packages()) == []


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_one_way(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        wrong = {
            name for name in imported_names(path) for other in FORBIDDEN[folder]
            if name == other or name.startswith(f"{other}.")
        }  # fmt: skip
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_only_stages_import_the_model_and_only_commands_import_the_service() -> None:
    for module, others in imports().items():
        for other in others:
            if other.split(".")[0] == "model" and module.split(".")[0] != "model":
                assert module.startswith(IMPORT_MODEL), f"{module} imports {other}"
            if other.startswith("skline.serving"):
                assert module.startswith(IMPORT_SERVING), f"{module} imports {other}"


def test_the_service_has_few_files_at_its_root() -> None:
    assert len(list((ROOT / "src/skline/serving").glob("*.py"))) <= 5
    assert [path.name for path in (ROOT / "serving").glob("*.py")] == ["app.py"]


def test_no_file_patches_the_import_machinery() -> None:
    patch = re.compile(
        r"sys\.(modules\[[^]]*\] *=|modules\.(pop|setdefault|update)|meta_path|path_hooks)|metadata\.\w+ = "
    )
    for path in files().values():
        assert not patch.search(path.read_text(encoding="utf-8")), path


def test_duckdb_is_imported_only_by_what_needs_the_extras_monitor_and_duckdb() -> None:
    users = {module for module, path in files().items() if any(re.match(r"duckdb\b", n) for n in imported_names(path))}
    assert {package_of(module) for module in users} == {"skline.monitoring", "skline.sources"}
    assert [module for module in users if module.startswith("skline.sources")] == ["skline.sources.duckdb"]
