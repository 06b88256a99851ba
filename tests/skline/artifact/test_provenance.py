"""The libraries that determine a pipeline: those of its objects are recorded, and other versions of them are found."""

from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from xgboost import XGBRegressor

from skline.artifact import provenance
from skline.features import BoostingRegressor
from tests.fixtures import demo

X, Y = np.arange(40.0).reshape(-1, 1), np.arange(40.0)
LIGHTGBM = LGBMRegressor(n_estimators=2, min_child_samples=2, n_jobs=1, verbosity=-1)
XGBOOST = XGBRegressor(n_estimators=2, n_jobs=1)


def fitted(*steps: Any) -> Pipeline:
    return make_pipeline(*steps).fit(X, Y)


@pytest.mark.parametrize(
    ("steps", "libraries"),
    [
        ((LIGHTGBM,), ["lightgbm"]),
        ((BoostingRegressor(XGBOOST),), ["xgboost-cpu"]),
        ((FunctionTransformer(provenance.is_same_version), LIGHTGBM), ["lightgbm"]),
        ((FunctionTransformer(pytest.approx), LIGHTGBM), ["lightgbm", "pytest"]),
    ],
    ids=["lightgbm", "xgboost", "a function of the engine", "a function of a library"],
)
def test_libraries_of_the_objects_of_a_pipeline_are_found(steps: Any, libraries: list[str]) -> None:
    pipeline = make_pipeline(*steps)
    pipeline.steps[-1][1].fit(X, Y)
    assert provenance.pipeline_libraries(pipeline) == libraries
    versions = provenance.library_versions(pipeline)
    assert list(versions) == ["python", *provenance.LIBRARIES, *libraries]
    assert all(versions.values())


def test_pipeline_of_scikit_learn_needs_no_further_library() -> None:
    assert provenance.pipeline_libraries(demo.pipeline()) == []


def test_arrays_of_a_pipeline_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(provenance._Nowhere, "write", lambda _, data: written.append(len(data)) or len(data))
    provenance.pipeline_libraries(np.zeros(1_000_000))
    assert 0 < sum(written) < 10_000


@pytest.mark.parametrize(
    ("recorded", "present", "differs"),
    [
        ({"numpy": "2.4.1"}, "2.4.9", False),
        ({"numpy": "2.4.1"}, "2.5.1", True),
        ({"lightgbm": "4.7.0"}, "4.7.0", False),
        ({"lightgbm": "4.7.0"}, "4.7.1", True),
        ({"lightgbm": "4.7.0"}, None, True),
    ],
)
def test_other_versions_differ(
    recorded: dict[str, str], present: str | None, differs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if present is None:
            raise provenance.PackageNotFoundError(name)
        return present

    monkeypatch.setattr(provenance, "version", version)
    [name] = recorded
    assert provenance.differing_libraries(recorded) == ({name: present} if differs else {})


def test_the_running_python_and_the_installed_libraries_do_not_differ() -> None:
    assert provenance.differing_libraries(provenance.library_versions(fitted(LIGHTGBM))) == {}
    assert list(provenance.differing_libraries({"python": "2.7", "numpy": "1.0"})) == ["python", "numpy"]
