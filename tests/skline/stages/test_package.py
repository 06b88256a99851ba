"""Tests of the stage package: reproducible bytes, a verified plan, and no import of scikit-learn."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skline import batches, paths
from skline.artifact import Artifact
from skline.artifact.data_profile import profile, profile_file
from skline.contract.frames import to_json_rows
from skline.contract.spec import Column
from skline.engine import stage_digest
from skline.errors import SklineError
from skline.evaluation.metrics import describe_metrics
from skline.files import write_json, write_table, write_text
from skline.scoring.golden_rows import choose_golden_rows
from skline.settings import Settings
from skline.stages import package
from skline.stages.evaluate import verify_golden_rows
from skline.stages.part_counts import describe_parts
from skline.stages.train import write_fit
from skline.stages.tune import write_model
from tests.fixtures import demo

METRICS = {"rows": 10, **{name: {"roc_auc": 0.5} for name in ("model", "linear", "dummy")}}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose stages before package have run."""
    monkeypatch.chdir(tmp_path)
    for name, rows in demo.parts().items():
        write_table(paths.part(name), rows)
    write_text(paths.PARAMS, (demo.PARAMS).read_text())
    write_text(paths.CONTRACT, demo.contract().to_json())
    write_json(paths.SPLIT_REPORT, describe_parts(demo.parts(), demo.contract()))
    write_json(paths.METRICS, METRICS)
    write_json(paths.EVALUATION, {"descriptions": describe_metrics("binary")})
    write_fit(demo.pipeline(), demo.contract(), golden())
    write_model(demo.pipeline(), demo.contract(), golden())
    return tmp_path


def golden() -> list[dict[str, object]]:
    return choose_golden_rows(demo.parts()["train"], demo.parts()["validation"], demo.contract(), 10, seed=17)


def packaged() -> Artifact:
    return package.package(paths.CANDIDATE, Settings.load(), demo.contract())


def test_same_inputs_give_same_bytes(project: Path) -> None:
    first = packaged()
    assert packaged().digest == first.digest
    assert first.manifest.scoring.path == "plan"
    assert first.manifest.metric_descriptions["roc_auc"].label == "ROC AUC"
    assert first.manifest.engine == stage_digest("train")


def test_cuts_that_move_are_stored_as_the_dates_that_they_were(project: Path) -> None:
    params = yaml.safe_load(paths.PARAMS.read_text())
    params["split"] |= {"validation_from": "-60d", "test_from": "-30d"}
    write_text(paths.PARAMS, yaml.safe_dump(params))
    rule = packaged().manifest.partition
    assert rule is not None
    newest = max(demo.parts()[name]["departed_at"].max() for name in ("train", "validation", "test"))
    assert rule.split.test_from == (newest - pd.Timedelta(days=30)).to_pydatetime()
    assert rule.split.validation_from == (newest - pd.Timedelta(days=60)).to_pydatetime()


def test_rejects_a_plan_with_other_predictions(project: Path) -> None:
    golden_file = json.loads(paths.GOLDEN.read_text())
    golden_file["probabilities"][3][0] = np.nextafter(golden_file["probabilities"][3][0], 1)
    write_json(paths.GOLDEN, golden_file)
    with pytest.raises(SklineError, match="does not predict as the pipeline did in tune: the row plan differs"):
        packaged()


def test_pipeline_that_cannot_be_planned_is_packaged_without_plan(project: Path) -> None:
    pipeline = Pipeline([("own", FunctionTransformer(same)), *demo.pipeline().steps])
    assert write_model(pipeline, demo.contract(), golden()).path == "pipeline"
    assert not paths.PLAN.exists()
    artifact = packaged()
    assert artifact.plan_bytes is None
    assert "same" in str(artifact.manifest.scoring.reason)
    verify_golden_rows(artifact.load_pipeline(), demo.contract(), artifact.golden)


def same(X: pd.DataFrame) -> pd.DataFrame:
    return X


def test_evaluate_rejects_a_pipeline_with_other_predictions_than_at_fit_time(project: Path) -> None:
    artifact = packaged()
    probabilities = list(artifact.golden.probabilities or [])
    probabilities[2] = [0.5, 0.5]
    other = artifact.golden.model_copy(update={"probabilities": probabilities})
    with pytest.raises(SklineError, match=r"does not predict as when it was fitted: golden row 2 gets"):
        verify_golden_rows(demo.pipeline(), demo.contract(), other)


def test_json_rows_equal_those_of_a_data_frame(tmp_path: Path) -> None:
    kinds = {
        "whole": ("integer", False, np.array([1, 2, 3])),
        "gaps": ("integer", True, np.array([1.0, np.nan, 3.0])),
        "flag": ("boolean", True, np.array([1.0, 0.0, np.nan])),
        "sure": ("boolean", False, np.array([True, False, True])),
        "number": ("number", True, np.array([0.1, np.nan, -0.0])),
        "text": ("string", True, pd.array(["a", None, "ü"], dtype="str")),
        "day": ("date", True, np.array(["2013-01-01", "NaT", "2013-12-31"], dtype="datetime64[us]")),
        "moment": ("datetime", True, np.array(["2013-01-01T05:00:00.5", "NaT", "2013-12-31"], dtype="datetime64[us]")),
    }
    columns = tuple(Column(name=name, kind=kind, nullable=gaps) for name, (kind, gaps, _) in kinds.items())
    frame = pd.DataFrame({name: cells for name, (_, _, cells) in kinds.items()})
    write_table(tmp_path / "rows.parquet", frame)
    assert package.json_rows(pq.read_table(tmp_path / "rows.parquet"), columns) == to_json_rows(columns, frame)


def test_sampled_rows_are_distinct_rows_with_the_types_of_the_table(tmp_path: Path) -> None:
    train = demo.parts()["train"]
    drawn = package.sample_rows(pa.Table.from_pandas(train, preserve_index=False), 50, seed=1)
    pq.write_table(drawn, tmp_path / "drawn.parquet")
    read = pd.read_parquet(tmp_path / "drawn.parquet")
    pd.testing.assert_series_equal(read.dtypes, train.dtypes)
    merged = read.merge(train, how="left", indicator=True)
    assert len(read.drop_duplicates()) == 50
    assert (merged["_merge"] == "both").all()


def test_file_read_in_batches_gives_the_sample_and_profile_of_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "rows_per_batch", lambda *_: 333)
    train, contract, path = demo.parts()["train"], demo.contract(), tmp_path / "train.parquet"
    write_table(path, train)
    assert len(list(batches.read_batches(path))) > 2
    table = pq.read_table(path, columns=contract.input_names)
    drawn = package.sample_file(path, contract.input_names, 50, seed=1)
    assert drawn.equals(package.sample_rows(table, 50, seed=1), check_metadata=True)
    assert package.sample_file(path, contract.input_names, 10**6, seed=1).num_rows == len(train)
    assert profile_file(path, contract) == profile(table, contract)


def test_packaging_imports_no_scikit_learn(project: Path) -> None:
    script = "import sys\nfor name in ('sklearn', 'joblib'): sys.modules[name] = None\n"
    script += "from skline.stages.package import main\nmain()"
    done = subprocess.run([sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the plan predicts for" in done.stdout
