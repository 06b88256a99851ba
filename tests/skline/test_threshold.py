"""`skline threshold`: what thresholds give on the validation part, and another one in params.yaml."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn import metrics as sk
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from skline import paths, threshold
from skline.cli import parser
from skline.contract.frames import to_json_rows
from skline.errors import SklineError
from skline.files import write_joblib, write_text
from skline.project import PROJECT_FILE
from skline.stages.tune import write_model
from skline.tuning.tune import tune
from tests.fixtures import demo

PARAMS = "# ours\nproject: {name: demo}\nsource: {uri: table.csv}\ntrain:\n  threshold: 0.3  # chosen in May\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with params.yaml, the contract, the validation part and a model with the threshold 0.3."""
    monkeypatch.chdir(tmp_path)
    write_text(PROJECT_FILE, "stages: {}\n")
    write_text(paths.PARAMS, PARAMS)
    write_text(paths.CONTRACT, demo.contract().to_json())
    paths.SPLIT.mkdir(parents=True)
    validation = demo.parts()["validation"]
    validation.to_parquet(paths.part("validation"))
    tuned, tuning = tune(demo.pipeline(), validation, demo.contract(), method="off", threshold=0.3, level=0.9, seed=1)
    write_model(tuned, demo.contract(), to_json_rows(demo.contract().inputs, validation.head(4)), tuning)
    return tmp_path


def run(*arguments: str) -> None:
    parsed: argparse.Namespace = parser().parse_args(["threshold", *arguments])
    parsed.run(parsed)


def test_table_has_precision_recall_and_share_of_the_validation_part(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    output = capsys.readouterr().out
    assert "train.threshold: 0.3\n" in output
    assert "the model's threshold: 0.3 (set in params.yaml)" in output
    validation = demo.parts()["validation"]
    assert f"On the {len(validation):,} rows of the validation part; the test part is for the evaluation" in output
    rows = [line.split() for line in output.splitlines() if line.endswith(("%", "<- the model's"))]
    assert len(rows) >= 8
    [chosen] = [row for row in rows if row[4:]]
    assert float(chosen[0]) == 0.3
    probabilities = demo.pipeline().predict_proba(validation[demo.contract().input_names])[:, 1]
    for text, precision, recall, share, *_ in rows:
        predicted = probabilities >= float(text)
        assert float(precision) == pytest.approx(sk.precision_score(validation["late"], predicted), abs=5e-4)
        assert float(recall) == pytest.approx(sk.recall_score(validation["late"], predicted), abs=5e-4)
        assert float(share.rstrip("%")) / 100 == pytest.approx(predicted.mean(), abs=5e-4)


def test_a_threshold_above_every_probability_has_no_precision() -> None:
    scores, truth = np.array([0.1, 0.2, 0.2]), np.array([False, True, True])
    assert threshold.operation(scores, truth, 0.3) == threshold.Operation(0.3, None, 0.0, 0.0)
    assert [each.threshold for each in threshold.operations(scores, truth, 0.3)] == [0.2, 0.3]
    with pytest.raises(SklineError, match="no row of the validation part is of the second class"):
        threshold.operations(scores, ~truth & False, 0.3)


def test_value_is_written_to_params_yaml_and_the_rest_stays(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("0.35")
    output = capsys.readouterr().out
    assert output.splitlines()[0] == "params.yaml: train.threshold: 0.3 → 0.35"
    assert "nothing is fitted here yet" in output
    assert paths.PARAMS.read_text() == PARAMS.replace("0.3 ", "0.35 ")
    write_joblib(paths.FITTED, demo.pipeline())
    run("cost", "--false-negative", "5")
    output = capsys.readouterr().out
    assert "0.35 → lowest cost, 1 per false positive, 5 per false negative" in output
    assert "Run `dvc repro`: it uses the fit in models/fitted.joblib" in output
    assert yaml.safe_load(paths.PARAMS.read_text())["train"]["threshold"] == {"objective": "cost", "false_negative": 5}
    assert paths.PARAMS.read_text().endswith("  # chosen in May\n")
    run("cost", "--false-negative", "5")
    assert "has this threshold already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["0"], "the threshold is 0; it must be above 0 and below 1"),
        (["1"], "the threshold is 1; it must be above 0 and below 1"),
        (["nan"], "the threshold is nan; it must be above 0"),
        (["half"], r"'half' is neither a number nor an objective \(fbeta, cost, recall\)"),
        (["0.5", "--beta", "2"], "--beta needs an objective .*, not '0.5'"),
        (["--floor", "0.9"], "--floor needs an objective"),
        (["recall", "--beta", "2"], "--beta: the objective recall has --floor only"),
        (["cost"], "cost has no costs; set --false-positive, --false-negative, or one of them: then the other is 1"),
        (["recall", "--floor", "2"], "recall: --floor: .* less than or equal to 1"),
        (["cost", "--false-positive", "0", "--false-negative", "0"], "a false_positive or a false_negative above 0"),
    ],
)
def test_what_is_no_threshold_changes_nothing(project: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SklineError, match=message):
        run(*arguments)
    assert paths.PARAMS.read_text() == PARAMS


def test_what_is_missing_is_named(project: Path) -> None:
    paths.part("validation").unlink()
    with pytest.raises(SklineError, match="data/split/validation.parquet is missing; run `dvc repro`"):
        run()
    paths.MODEL.unlink()
    with pytest.raises(SklineError, match="there is no model in models/; run `dvc repro`"):
        run()
    paths.CONTRACT.unlink()
    for arguments in ([], ["0.4"]):
        with pytest.raises(SklineError, match="data/contract.json is missing; run `dvc repro`"):
            run(*arguments)


def test_only_a_binary_model_with_probabilities_has_a_threshold(project: Path) -> None:
    rows = demo.parts()["train"]
    columns = ColumnTransformer([("number", SimpleImputer(), ["distance"])])
    svm = Pipeline([("columns", columns), ("model", LinearSVC())]).fit(rows[demo.contract().input_names], rows["late"])
    write_joblib(paths.MODEL, svm)
    with pytest.raises(SklineError, match="LinearSVC has no probabilities"):
        run()
    write_text(paths.CONTRACT, demo.contract().model_copy(update={"task": "regression", "classes": None}).to_json())
    for arguments in ([], ["0.4"]):
        with pytest.raises(SklineError, match="the model's task is regression; only a binary classifier"):
            run(*arguments)
