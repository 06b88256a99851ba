"""The stage tune: the fit is read, verified and left as it is; only what is set on the validation part changes."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skline import batches, paths
from skline.artifact import GoldenRows
from skline.artifact.provenance import library_versions
from skline.contract.frames import to_json_rows
from skline.errors import SklineError
from skline.files import read_json, write_json, write_text
from skline.scoring.golden_verification import predict_golden_rows
from skline.stages import tune as stage
from skline.stages.train import write_fit
from tests.fixtures import demo


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the outputs of the stage train."""
    monkeypatch.chdir(tmp_path)
    write_text(paths.CONTRACT, demo.contract().to_json())
    paths.SPLIT.mkdir(parents=True)
    for name in ("train", "validation"):
        demo.parts()[name].to_parquet(paths.part(name))
    write_fit(demo.pipeline(), demo.contract(), rows(12))
    return tmp_path


def rows(count: int) -> list[dict[str, object]]:
    return to_json_rows(demo.contract().inputs, demo.parts()["validation"].head(count))


def run(threshold: float) -> GoldenRows:
    """Run the stage with a threshold; return the golden rows."""
    settings = {"source": {"uri": "table.csv"}, "train": {"threshold": threshold, "calibrate": "sigmoid"}}
    write_text(paths.PARAMS, yaml.safe_dump(settings))
    stage.main()
    return GoldenRows.model_validate(read_json(paths.GOLDEN))


def fit_digest() -> str:
    return hashlib.sha256(paths.FITTED.read_bytes()).hexdigest()


def test_another_threshold_changes_decisions_and_no_bit_of_a_score(project: Path) -> None:
    digest = fit_digest()
    first, second = run(0.2), run(0.3)
    assert fit_digest() == digest
    assert second.rows == first.rows
    assert second.probabilities == first.probabilities, "JSON floats keep every bit"
    assert second.probabilities is not None
    positive = np.array(second.probabilities)[:, 1]
    assert first.predictions == (positive >= 0.2).tolist()
    assert second.predictions == (positive >= 0.3).tolist()
    assert second.predictions != first.predictions


def test_fit_of_other_libraries_is_not_tuned(project: Path) -> None:
    origin = read_json(paths.ORIGIN)
    write_json(paths.ORIGIN, origin | {"libraries": origin["libraries"] | {"numpy": "1.0", "xgboost": "3.0"}})
    with pytest.raises(SklineError, match=r"fitted with numpy 1.0 \(now .*\), xgboost 3.0 \(now missing\); fit again"):
        run(0.3)
    assert not paths.MODEL.exists()
    stage.require_same_libraries(library_versions(demo.pipeline()))


def test_fit_that_predicts_differently_in_another_process_is_not_tuned(project: Path) -> None:
    stored = predict_golden_rows(demo.contract(), demo.pipeline(), rows(12))
    assert stored.probabilities is not None
    close = [[float(np.nextafter(value, 1)) for value in row] for row in stored.probabilities]
    write_text(paths.FITTED_ROWS, stored.model_copy(update={"probabilities": close}).model_dump_json())
    run(0.3)  # the last bit may be that of another processor
    shifted = [[value + 1e-9 for value in row] for row in stored.probabilities]
    write_text(paths.FITTED_ROWS, stored.model_copy(update={"probabilities": shifted}).model_dump_json())
    with pytest.raises(SklineError, match=r"models/fitted.joblib does not predict as when it was fitted: golden row 0"):
        run(0.3)


def test_pipeline_whose_predictions_depend_on_the_other_rows_is_rejected(project: Path) -> None:
    frame = demo.parts()["train"].head(500)
    unfitted = clone(demo.pipeline())  # other tests use the fitted steps
    steps = [("relative", FunctionTransformer(relative_distance)), *unfitted.steps]
    fitted = Pipeline(steps).fit(frame[demo.contract().input_names], frame[demo.contract().target.name])
    with pytest.raises(SklineError, match="the step 'relative' computes a row from other rows of the batch"):
        stage.write_model(fitted, demo.contract(), rows(8))
    assert not paths.MODEL.exists()


def test_distinct_texts_of_a_part_in_batches_are_those_of_its_column(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "rows_per_batch", lambda *_: 333)
    train = demo.parts()["train"]
    found = stage.distinct_texts(paths.part("train"), demo.contract())
    assert list(found) == ["carrier", "origin", "dest"]
    for name, values in found.items():
        assert values.tolist() == train[name].unique().tolist()


def relative_distance(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(distance=frame["distance"] / frame["distance"].mean())
