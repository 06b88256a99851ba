"""The artifact is made of what the earlier stages left, without the pipeline being loaded; the same gives the same."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skline import paths
from skline.artifact import Artifact
from skline.contract.frames import to_json_rows
from skline.contract.spec import Column
from skline.errors import SklineError
from skline.files import write_json, write_table, write_text
from skline.scoring.choose import golden_rows
from skline.settings import Settings
from skline.stages import package
from skline.stages.evaluate import prove
from skline.stages.split import report
from skline.stages.train import write_model
from tests import demo

METRICS = {"rows": 10, **{name: {"roc_auc": 0.5} for name in ("model", "linear", "dummy")}}


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose stages before package have run."""
    monkeypatch.chdir(tmp_path)
    for name, rows in demo.parts().items():
        write_table(paths.part(name), rows)
    write_text(paths.PARAMS, (demo.PARAMS).read_text())
    write_text(paths.CONTRACT, demo.contract().to_json())
    write_json(paths.SPLIT_REPORT, report(demo.parts(), demo.contract()))
    write_json(paths.METRICS, METRICS)
    write_model(demo.pipeline(), demo.contract(), golden())
    return tmp_path


def golden() -> list[dict[str, object]]:
    return golden_rows(demo.parts()["train"], demo.parts()["validation"], demo.contract(), 10, seed=17)


def packaged() -> Artifact:
    return package.package(paths.ARTIFACT, Settings.load(), demo.contract())


def test_the_same_inputs_give_the_same_bytes(line: Path) -> None:
    first = packaged()
    assert packaged().digest == first.digest
    assert first.manifest.scoring.path == "plan"
    assert first.manifest.created_at == json.loads(paths.ORIGIN.read_text())["created_at"]


def test_a_plan_that_answers_otherwise_stops_it(line: Path) -> None:
    answers = json.loads(paths.GOLDEN.read_text())
    answers["probabilities"][3][0] = np.nextafter(answers["probabilities"][3][0], 1)
    write_json(paths.GOLDEN, answers)
    with pytest.raises(SklineError, match="the stored plan is not what train proved: the row plan differs"):
        packaged()


def test_a_pipeline_without_a_plan_is_packaged_as_it_is(line: Path) -> None:
    pipeline = Pipeline([("own", FunctionTransformer(same)), *demo.pipeline().steps])
    assert write_model(pipeline, demo.contract(), golden()).path == "pipeline"
    assert not paths.PLAN.exists()
    artifact = packaged()
    assert artifact.plan_bytes is None
    assert "same" in str(artifact.manifest.scoring.reason)
    prove(artifact.load_pipeline(), demo.contract(), artifact.golden)


def same(X: pd.DataFrame) -> pd.DataFrame:
    return X


def test_evaluate_refuses_a_pipeline_that_answers_otherwise_than_when_it_was_fitted(line: Path) -> None:
    artifact = packaged()
    probabilities = list(artifact.golden.probabilities or [])
    probabilities[2] = [0.5, 0.5]
    with pytest.raises(SklineError, match=r"does not answer as when it was fitted: golden row 2 gets"):
        prove(demo.pipeline(), demo.contract(), artifact.golden.model_copy(update={"probabilities": probabilities}))


def test_rows_out_of_parquet_are_those_that_a_client_sends(tmp_path: Path) -> None:
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


def test_drawn_rows_are_rows_of_the_table_with_its_types(tmp_path: Path) -> None:
    train = demo.parts()["train"]
    drawn = package.draw(pa.Table.from_pandas(train, preserve_index=False), 50, seed=1)
    pq.write_table(drawn, tmp_path / "drawn.parquet")
    read = pd.read_parquet(tmp_path / "drawn.parquet")
    pd.testing.assert_series_equal(read.dtypes, train.dtypes)
    merged = read.merge(train, how="left", indicator=True)
    assert len(read.drop_duplicates()) == 50
    assert (merged["_merge"] == "both").all()


def test_packaging_needs_no_scikit_learn(line: Path) -> None:
    script = "import sys\nfor name in ('sklearn', 'joblib'): sys.modules[name] = None\n"
    script += "from skline.stages.package import main\nmain()"
    done = subprocess.run([sys.executable, "-c", script], cwd=line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the plan answers" in done.stdout
