"""An artifact is scored by its stored plan if that is verified, else by a plan built again, else by its pipeline."""

import io
import logging
import pickle
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer

from skline import artifact
from skline.artifact import Artifact, InvalidArtifact, Scoring
from skline.artifact.provenance import library_versions
from skline.features import BoostingClassifier, minutes_of_day
from skline.scoring import plan_storage
from skline.scoring.golden_verification import parse_rows
from skline.scoring.load import load_plan_or_pipeline
from skline.scoring.plan import Plan
from skline.stages.train import train
from tests.fixtures import demo
from tests.fixtures.sample_project.pipeline import build_pipeline


def repackage(packaged: demo.Packaged, folder: Path, files: dict[str, bytes], **manifest: Any) -> Artifact:
    """Write the artifact with other files and another manifest, and open it."""
    old = artifact.Manifest.model_validate_json((packaged.folder / artifact.MANIFEST).read_bytes())
    content = {name: (packaged.folder / name).read_bytes() for name in old.files} | files
    fields = old.model_dump(exclude={"format", "files"}) | manifest
    return Artifact.open(folder, artifact.write(folder, content, fields))


def stored_as(payload: bytes) -> bytes:
    """Return a stored plan that this code wrote, with another pickle."""
    return plan_storage.code_digest().encode() + b" numpy\n" + payload


def pickle_of(module: str, name: str) -> bytes:
    """Return the pickle of an object that is looked up by these names."""
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n."


def other_plan() -> bytes:
    """Return the stored plan of another model for the same columns."""
    from skline.scoring.planning import build_plan

    pipeline = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    return plan_storage.dump_plan(build_plan(pipeline, demo.contract().inputs))


UNUSABLE_PLANS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "written by other code": (lambda plan: b"0" * 64 + plan[64:], "written by code 000000000000"),
    "empty": (lambda _: b"", "written by code"),
    "truncated": (lambda plan: plan[: len(plan) // 2], "cannot be unpickled"),
    "a missing module": (lambda _: stored_as(pickle_of("skline.gone", "Plan")), "ModuleNotFoundError"),
    "a renamed class": (lambda _: stored_as(pickle_of("skline.scoring.plan", "OldPlan")), "AttributeError"),
    "no plan": (lambda _: stored_as(pickle.dumps([])), "a list instead of a Plan"),
    "another model's": (lambda _: other_plan(), "differs from the pipeline on the golden rows"),
}


def test_verified_stored_plan_is_used_without_the_pipeline(packaged: demo.Packaged, tmp_path: Path) -> None:
    opened = repackage(packaged, tmp_path / "a", {artifact.PIPELINE: b"unreadable"})
    plan, scoring = load_plan_or_pipeline(opened)
    assert isinstance(plan, Plan)
    assert scoring == opened.manifest.scoring == Scoring(path="plan", exactness="bits")


@pytest.mark.parametrize("name", UNUSABLE_PLANS)
def test_unusable_stored_plan_is_built_again_from_the_pipeline(
    name: str, packaged: demo.Packaged, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change, problem = UNUSABLE_PLANS[name]
    plan_bytes = change((packaged.folder / artifact.PLAN).read_bytes())
    opened = repackage(packaged, tmp_path / "a", {artifact.PLAN: plan_bytes})
    with caplog.at_level(logging.INFO, logger="skline.scoring"):
        plan, scoring = load_plan_or_pipeline(opened)
    assert isinstance(plan, Plan)
    expected, _ = load_plan_or_pipeline(Artifact.open(packaged.folder, packaged.digest))
    for row in parse_rows(opened.contract, opened.golden.rows):
        assert plan.score_row(row) == expected.score_row(row)
    assert (scoring.path, scoring.exactness) == ("plan", "bits")
    assert "the stored plan is not used" in (scoring.reason or "")
    assert problem in (scoring.reason or "")
    assert "was built again from the pipeline" in (scoring.reason or "")
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.getMessage().startswith(f"{opened.version}: the stored plan is not used: ")
    assert problem in warning.getMessage()


def test_stored_plan_that_raises_on_golden_rows_is_not_used(
    packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("gone")

    opened = Artifact.open(packaged.folder, packaged.digest)
    monkeypatch.setattr("skline.scoring.golden_verification.score_single_row", broken)
    plan, scoring = load_plan_or_pipeline(opened)
    assert isinstance(plan, Plan)
    assert "it fails on the golden rows with KeyError: 'gone'" in (scoring.reason or "")


def test_promised_plan_that_cannot_be_built_leaves_scoring_to_the_pipeline(
    packaged: demo.Packaged, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fitted = clone(demo.pipeline())  # the fitted one is shared by all tests
    unsupported = Pipeline([*fitted.steps[:-1], ("power", PowerTransformer()), fitted.steps[-1]])
    unsupported = unsupported.fit(demo.parts()["train"][demo.contract().input_names], demo.parts()["train"]["late"])
    made = demo.package(tmp_path / "a", unsupported)
    promised = {"path": "plan", "exactness": "bits", "reason": None}
    opened = repackage(made, tmp_path / "b", {artifact.PLAN: b"0" * 64}, scoring=promised)
    pipeline, scoring = load_plan_or_pipeline(opened)
    assert isinstance(pipeline, Pipeline)
    assert scoring.path == "pipeline"
    assert "written by code 000000000000" in (scoring.reason or "")
    assert "PowerTransformer" in (scoring.reason or "")
    assert "no plan is used, the pipeline itself scores" in caplog.text


def pipeline_of_another_layout(module_name: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return a pickled pipeline whose function lives in a module that exists only while it is written."""
    module = ModuleType(module_name)

    def old_minutes_of_day(X: Any) -> Any:
        return np.asarray(X)

    old_minutes_of_day.__module__, old_minutes_of_day.__qualname__ = module_name, "minutes_of_day"
    module.minutes_of_day = old_minutes_of_day  # type: ignore[attr-defined]
    buffer = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, module_name, module)
        joblib.dump(make_pipeline(FunctionTransformer(old_minutes_of_day)), buffer)
    return buffer.getvalue()


def test_artifact_of_an_earlier_layout_is_rejected_with_the_next_step(
    packaged: demo.Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        artifact.PIPELINE: pipeline_of_another_layout("skline.scoring.choose", monkeypatch),
        artifact.PLAN: b"0" * 64 + pickle_of("skline.scoring.cells", "Table"),
    }
    opened = repackage(packaged, tmp_path / "a", files)
    with pytest.raises(InvalidArtifact) as raised:
        load_plan_or_pipeline(opened)
    message = str(raised.value)
    assert message.startswith(f"the artifact {opened.version} cannot be loaded: its pipeline.joblib refers to code")
    assert "No module named 'skline.scoring.choose'" in message
    assert "made with python" in message
    assert "Retrain with `dvc repro`" in message


def test_pipeline_with_a_renamed_class_is_rejected_with_the_next_step(packaged: demo.Packaged, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    joblib.dump(make_pipeline(FunctionTransformer(minutes_of_day)), buffer)
    renamed = buffer.getvalue().replace(b"minutes_of_day", b"minutes_of_DAY")
    files = {artifact.PIPELINE: renamed, artifact.PLAN: b"0" * 64}
    with pytest.raises(InvalidArtifact, match=r"code that does not exist here \(AttributeError: .*minutes_of_DAY"):
        load_plan_or_pipeline(repackage(packaged, tmp_path / "a", files))


def lightgbm_artifact(folder: Path) -> demo.Packaged:
    """Write the artifact of a pipeline that ends in LightGBM."""
    names, rows = (
        [column.name for column in demo.contract().inputs if column.kind in ("number", "integer")],
        demo.parts()["train"],
    )
    columns = ColumnTransformer([("numbers", "passthrough", names)])
    model = LGBMClassifier(n_estimators=5, n_jobs=1, verbosity=-1)
    fitted = Pipeline([("columns", columns), ("model", BoostingClassifier(model))])
    return demo.package(folder, fitted.fit(rows[demo.contract().input_names], rows["late"]))


def test_stored_plan_is_used_with_no_other_version_of_the_estimators_library(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = lightgbm_artifact(tmp_path / "a")
    opened = Artifact.open(made.folder, made.digest)
    assert opened.manifest.libraries["lightgbm"] == version("lightgbm")
    plan, scoring = load_plan_or_pipeline(opened)
    assert isinstance(plan, Plan)
    assert scoring.reason is None

    other = repackage(made, tmp_path / "b", {}, libraries=opened.manifest.libraries | {"lightgbm": "4.0.1"})
    with caplog.at_level(logging.INFO, logger="skline.scoring"):
        plan, scoring = load_plan_or_pipeline(other)
    assert isinstance(plan, Plan)  # built again from the pipeline, with the installed library
    problem = f"it was made with lightgbm 4.0.1; lightgbm {version('lightgbm')} is installed here"
    assert problem in (scoring.reason or "")
    assert "was built again from the pipeline" in (scoring.reason or "")
    assert f"the stored plan is not used: {problem}" in caplog.text


def test_stored_plan_is_used_where_the_estimators_library_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lightgbm_artifact(tmp_path / "a")
    gone = {"lightgbm-gone": "4.7.0"}
    opened = repackage(made, tmp_path / "b", {}, libraries=library_versions(demo.pipeline()) | gone)
    monkeypatch.setitem(sys.modules, "lightgbm.sklearn", None)  # importing it raises ModuleNotFoundError
    plan, scoring = load_plan_or_pipeline(opened)
    assert isinstance(plan, Plan)
    assert scoring == Scoring(path="plan", exactness="bits")


def test_artifact_is_rejected_where_neither_its_plan_nor_the_estimators_library_is_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = lightgbm_artifact(tmp_path / "a")
    line, _, payload = (made.folder / artifact.PLAN).read_bytes().partition(b"\n")
    opened = repackage(made, tmp_path / "b", {artifact.PLAN: line + b",lightgbm-gone\n" + payload})
    monkeypatch.setitem(sys.modules, "lightgbm.sklearn", None)
    with pytest.raises(InvalidArtifact, match=r"pipeline.joblib refers to code that does not exist here .*lightgbm"):
        load_plan_or_pipeline(opened)
    assert "it holds objects of lightgbm-gone, which is not installed here" in caplog.text
