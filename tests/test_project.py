"""The project's own shape: imports point one way, dvc.yaml names the code it runs, files say what they should."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.demo import ROOT

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
#: Modules that carry results but decide none: a change in them leaves every output as it was.
PLUMBING = {"skline", "skline.errors", "skline.files", "skline.paths", "skline.process", "skline.progress",
            "skline.section", "skline.settings", "skline.settings_evaluation", "skline.settings_source",
            "skline.settings_threshold", "skline.stages", "model"}  # fmt: skip


def path_of(module: str) -> Path | None:
    for base in ("src", "."):
        stem = ROOT / base / module.replace(".", "/")
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                return path
    return None


@cache
def imports_of(path: Path) -> set[str]:
    """Project modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("skline", "model", "serving") and path_of(name)}


def closure(module: str) -> set[str]:
    seen, todo = set(), [module]
    while todo:
        name = todo.pop()
        path = path_of(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        todo += imports_of(path)
    return seen


@pytest.mark.parametrize("stage", DVC)
def test_a_stage_depends_on_all_code_that_decides_its_result(stage: str) -> None:
    deps = [ROOT / dep for dep in DVC[stage]["deps"]]
    for module in sorted(closure(f"skline.stages.{stage}") - PLUMBING):
        path = path_of(module)
        assert path is not None
        if stage == "register" and module in ("skline.contract", "skline.registry"):
            continue
        assert any(path == dep or dep in path.parents for dep in deps), f"{stage} imports {module}; add it to dvc.yaml"


def test_only_the_tests_of_the_model_are_about_the_model_of_the_project() -> None:
    strangers = [
        path
        for path in (ROOT / "tests").rglob("*.py")
        if path.parent.name != "model" and re.search(r"^(from|import) model\b", path.read_text(encoding="utf-8"), re.M)
    ]
    assert strangers == [], "a project has another model: take that of tests/world"


@pytest.mark.parametrize("stage", DVC)
def test_what_a_stage_depends_on_is_there_or_made_by_another(stage: str) -> None:
    made = {
        next(iter(out)) if isinstance(out, dict) else out
        for other in DVC.values()
        for out in [*other.get("outs", []), *other.get("metrics", [])]
    }
    for dep in DVC[stage]["deps"]:
        assert (ROOT / dep).exists() or any(dep == out or dep.startswith(f"{out}/") for out in made), dep


def python_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return [ROOT / line for line in listed.splitlines()] or [
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "serving").rglob("*.py"),
    ]


FORBIDDEN = {
    "serving": ("mlflow", "dvc", "pandera", "skline.stages", "skline.registry", "skline.evaluation", "model"),
    "src/model": ("serving", "skline.stages", "skline.registry", "skline.scoring", "mlflow", "dvc"),
    "src/skline": ("serving", "dvc"),
}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_one_way(folder: str) -> None:
    for path in python_files():
        if not path.is_relative_to(ROOT / folder):
            continue
        names = {
            name
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [alias.name for alias in node.names] if isinstance(node, ast.Import)
                else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            )
        }  # fmt: skip
        wrong = {n for n in names for f in FORBIDDEN[folder] if n == f or n.startswith(f"{f}.")}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_the_service_names_no_column_of_the_demo() -> None:
    columns = ("carrier", "dest", "distance", "flight", "sched_")  # "origin" is a word of HTTP too
    for path in (ROOT / "serving").rglob("*.py"):
        words = set(re.findall(r"\w+", path.read_text()))
        assert not words & set(columns), path


def test_requirements_of_the_image_have_hashes_and_no_index_address() -> None:
    text = (ROOT / "requirements/serving.txt").read_text()
    pins = re.findall(r"^[a-z0-9._-]+==\S+", text, re.M)
    assert len(pins) > 10
    assert text.count("--hash=sha256:") >= len(pins)
    assert not re.search(r"https?:|--(extra-)?index|--find-links", text)
    assert not re.search(r"^(mlflow|dvc|pandera|pyarrow|sqlalchemy)", text, re.M)
