"""Structure of the project: the dependencies of its stages, and the boundaries between its packages."""

import ast
import ctypes
import re
import sys
from functools import cache
from pathlib import Path

import pytest
import sklearn
import yaml

from skline import engine
from skline.artifact import provenance
from skline.init.codegen.libraries import LIBRARIES
from skline.stages import STAGES
from tests.fixtures.demo import ROOT

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
#: Modules that stages import without depending on them: a change in them leaves every output as it is.
PLUMBING = {
    "model",
    "skline",
    "skline.addresses",
    "skline.api_keys",
    "skline.engine",  # names the engine, and determines no result
    "skline.entrypoint",
    "skline.errors",
    "skline.files",
    "skline.canary_limits",
    "skline.paths",
    "skline.pickling",
    "skline.project",
    "skline.redaction",
    "skline.settings",
    "skline.settings.base",
    "skline.settings.declared",
    "skline.settings.evaluation",
    "skline.settings.monitor",
    "skline.settings.project",
    "skline.settings.retrain",
    "skline.settings.source",
    "skline.settings.training",
    "skline.split_rule",
    "skline.stages",
    "skline.stages.progress",
}


def path_of(module: str) -> Path | None:
    for base in ("src", "."):
        stem = ROOT / base / module.replace(".", "/")
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                return path
    return None


@cache
def imports_of(path: Path) -> set[str]:
    """Modules of the project that a file imports, at its top or inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in ("skline", "model", "serving") and path_of(name)}


def closure(module: str) -> set[str]:
    """The module and all modules of the project that it imports, directly or not."""
    seen, pending = set(), [module]
    while pending:
        name = pending.pop()
        path = path_of(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        if name != "skline":  # it imports what `skline.load` needs when that is called
            pending += imports_of(path)
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_all_code_that_determines_its_outputs(stage: str) -> None:
    deps = [ROOT / dep for dep in DVC[stage]["deps"]]
    deps += [ROOT / "src/skline" / name for name in engine.STAGE_CODE[stage]]
    for module in sorted(closure(f"skline.stages.{stage}") - PLUMBING):
        path = path_of(module)
        assert path is not None
        if stage == "register" and module in ("skline.contract", "skline.registry"):
            continue
        listed = any(path == dep or dep in path.parents for dep in deps)
        assert listed, f"{stage} imports {module}; add it to dvc.yaml, or to STAGE_CODE in skline/engine.py"


def test_stages_are_the_same_in_dvc_yaml_and_in_the_engine() -> None:
    assert tuple(DVC) == STAGES == tuple(engine.STAGE_CODE)
    for stage, definition in DVC.items():
        assert definition["cmd"] == f"skline stage {stage}"
        assert {"engine.json": [f"stages.{stage}"]} in definition["params"]
        assert not [dep for dep in definition["deps"] if dep.startswith("src/skline")]


@pytest.mark.parametrize("stage", STAGES)
def test_code_of_a_stage_exists_and_has_no_duplicates(stage: str) -> None:
    names = engine.STAGE_CODE[stage]
    assert list(names) == sorted(set(names))
    assert [name for name in names if not (engine.location() / name).exists()] == []


def test_engine_json_records_this_engine() -> None:
    recorded, current = engine.read_record(ROOT / "engine.json"), engine.current_record()
    assert engine.changed_stages(recorded, current) == [], "run `uv run skline sync`, then `uv run dvc repro`"
    assert recorded is not None
    assert recorded.settings == current.settings, "run `uv run skline sync`, and commit engine.json"


def test_only_tests_of_the_model_import_the_model_of_the_project() -> None:
    importing = [
        path
        for path in (ROOT / "tests").rglob("*.py")
        if path.parent.name != "model" and re.search(r"^(from|import) model\b", path.read_text(encoding="utf-8"), re.M)
    ]
    assert importing == [], "the model of a project varies: import that of tests/fixtures/sample_project"


@pytest.mark.parametrize("stage", DVC)
def test_dependencies_of_a_stage_exist_or_are_outputs_of_another(stage: str) -> None:
    outputs = {
        next(iter(out)) if isinstance(out, dict) else out
        for other in DVC.values()
        for out in [*other.get("outs", []), *other.get("metrics", [])]
    }
    for dep in DVC[stage]["deps"]:
        assert (ROOT / dep).exists() or any(dep == out or dep.startswith(f"{out}/") for out in outputs), dep


def test_the_service_names_no_column_of_the_demo() -> None:
    columns = ("carrier", "dest", "distance", "flight", "sched_")  # not "origin", which is a word of HTTP too
    for path in (ROOT / "src/skline/serving").rglob("*.py"):
        words = set(re.findall(r"\w+", path.read_text()))
        assert not words & set(columns), path


def test_requirements_of_the_image_have_hashes_and_no_index_url() -> None:
    text = (ROOT / "requirements/serving.txt").read_text()
    pins = re.findall(r"^[a-z0-9._-]+==\S+", text, re.M)
    assert len(pins) > 10
    assert text.count("--hash=sha256:") >= len(pins)
    assert not re.search(r"https?:|--(extra-)?index|--find-links", text)
    assert not re.search(r"^(mlflow|dvc|pandera|pyarrow|sqlalchemy)", text, re.M)


@pytest.mark.parametrize("name", ["justfile", "justfile.jinja"])
def test_the_image_gets_the_libraries_of_the_predictions_in_the_installed_versions(name: str) -> None:
    [pattern] = re.findall(r"^of_model := '(.*)'$", (ROOT / name).read_text(), re.M)
    own = [code.requirement for code in LIBRARIES.values()] if name.endswith(".jinja") else []
    for library in [*provenance.LIBRARIES, *own]:
        assert re.search(pattern, f"{library}==1.2.3"), library
    assert not re.search(pattern, "pandas-stubs==1.2.3")


@pytest.mark.skipif(sys.platform != "linux", reason="the image is one of Linux")
def test_the_wheel_of_scikit_learn_has_the_openmp_runtime_that_the_image_takes_from_it() -> None:
    [pattern] = re.findall(r"ln -s \S+/site-packages/(\S+) /usr/lib/libgomp.so.1", (ROOT / "Dockerfile").read_text())
    packages = Path(sklearn.__file__).parent.parent
    [library] = packages.glob(pattern)
    ctypes.CDLL(str(library))
