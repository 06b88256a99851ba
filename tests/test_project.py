"""Structure of the project: the dependencies of its stages, and the boundaries between its packages."""

import ast
import ctypes
import importlib.metadata
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
import sklearn
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from skline import engine
from skline.artifact import provenance
from skline.doctor import requirements
from skline.init.codegen.libraries import LIBRARIES
from skline.scoring import plan_storage
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
    "skline.locks",
    "skline.canary_limits",
    "skline.clock",  # times are no results
    "skline.paths",
    "skline.pickling",
    "skline.project",
    "skline.redaction",
    "skline.settings",
    "skline.settings.base",
    "skline.settings.declared",
    "skline.settings.evaluation",
    "skline.settings.lookups",
    "skline.settings.monitor",
    "skline.settings.project",
    "skline.settings.retrain",
    "skline.settings.source",
    "skline.settings.source_append",
    "skline.settings.source_kinds",
    "skline.settings.source_http",
    "skline.settings.source_kafka",
    "skline.settings.source_lake",
    "skline.settings.source_sql",
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


@pytest.mark.parametrize("name", ["requirements/serving.txt", "requirements/plan.txt", "src/skline/deploy/sbom.txt"])
def test_requirements_of_the_image_have_hashes_and_no_index_url(name: str) -> None:
    text = (ROOT / name).read_text()
    pins = re.findall(r"^[a-z0-9._-]+==\S+", text, re.M)
    assert len(pins) > 10
    assert text.count("--hash=sha256:") >= len(pins)
    assert not re.search(r"https?:|--(extra-)?index|--find-links", text)
    assert not re.search(r"^(mlflow|dvc|pandera|pyarrow|sqlalchemy)", text, re.M)


def test_the_target_plan_has_the_libraries_of_the_target_full_but_those_of_the_pipeline() -> None:
    full, plan = (requirements.pins((ROOT / f"requirements/{name}.txt").read_text()) for name in ("serving", "plan"))
    assert plan.items() <= full.items()
    assert plan.keys().isdisjoint({*provenance.LIBRARIES} - {*plan_storage.ALWAYS_PRESENT})
    assert plan.keys() >= {*plan_storage.ALWAYS_PRESENT, "fastapi", "orjson", "pydantic", "uvicorn"}


@pytest.mark.parametrize("name", ["justfile", "justfile.jinja"])
def test_the_target_plan_leaves_out_the_libraries_of_the_pipeline(name: str) -> None:
    text = (ROOT / name).read_text()
    [left_out] = re.findall(r"^of_pipeline := '(.*)'$", text, re.M)
    [of_model] = re.findall(r"^of_model := '\^\((.*)\)=='$", text, re.M)
    assert set(left_out.split()) == set(of_model.split("|")) - {*plan_storage.ALWAYS_PRESENT}


def test_both_targets_of_the_image_verify_the_artifact_and_list_their_libraries() -> None:
    text = (ROOT / "Dockerfile").read_text()
    stages = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", text, re.M | re.S))
    assert list(stages)[-2:] == ["plan", "full"], "the last one is the default"
    verify = 'golden_verification artifact "$SKLINE_ARTIFACT_DIGEST"'
    assert f"{verify} --plan-only\n" in stages["plan"]
    assert f"{verify}\n" in stages["full"]
    for target in ("plan", "full"):
        assert f"COPY --from={target}-libraries /sbom.cdx.json sbom.cdx.json\n" in stages[target]
        assert stages[target].rstrip().endswith("\nUSER 10001:10001")


def test_the_base_image_is_pinned_by_the_digest_that_the_registry_has(tmp_path: Path) -> None:
    for name in ("Dockerfile", "justfile"):
        shutil.copy(ROOT / name, tmp_path / name)
    text = (tmp_path / "Dockerfile").read_text()
    for digit in "12":
        docker = '#!/bin/sh\n[ "$4 $6" = "python:3.12-slim-bookworm {{.Manifest.Digest}}" ] || exit 9\n'
        (tmp_path / "docker").write_text(docker + f"echo sha256:{digit * 64}\n")
        (tmp_path / "docker").chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        just = Path(sys.executable).parent / "just"
        subprocess.run([just, "pin-base-image"], cwd=tmp_path, env=os.environ | {"PATH": path}, check=True)
        pinned = f"FROM python:3.12-slim-bookworm@sha256:{digit * 64} AS base\n"
        assert (tmp_path / "Dockerfile").read_text() == text.replace("FROM python:3.12-slim-bookworm AS base\n", pinned)


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


def distributions_of(requirements: Iterable[str]) -> set[str]:
    """Names of the distributions that requirements install, by the metadata of what is installed."""
    seen, pending = set(), [(Requirement(each), "") for each in requirements]
    while pending:
        requirement, extra = pending.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key in seen or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        seen.add(key)
        needed = map(Requirement, importlib.metadata.requires(key[0]) or [])
        pending += itertools.product(needed, ["", *requirement.extras])
    return {name for name, _ in seen}


def test_pipeline_and_service_need_no_duckdb() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = distributions_of([*project["dependencies"], *extras["serving"], *extras["train"]])
    assert {"dvc", "fastapi", "pyarrow"} <= names
    assert "duckdb" not in names
    assert "duckdb" in distributions_of(extras["monitor"])
