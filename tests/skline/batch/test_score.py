"""A table gets the predictions of `/predict` to the last bit; invalid rows are set apart; no partial file is left."""

import gzip
import json
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

from skline.artifact import Artifact
from skline.artifact.tuning import Interval, Tuning
from skline.batch.part import PartScorer
from skline.batch.read import TableFormat, TableReader
from skline.batch.run import score_table, thread_engine
from skline.contract.derive import derive
from skline.contract.frames import to_json_rows
from skline.contract.spec import Column, Contract
from skline.contract.table import Table, column
from skline.entrypoint import INTERRUPTED_STATUS
from skline.errors import SklineError
from skline.loading import Model
from tests.fixtures import demo

INPUTS = demo.contract().input_names
LIMIT_FILE_SIZE = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""
INVALID_CELLS = {
    3: ("carrier", "??"),
    5: ("distance", "-1"),
    8: ("sched_dep_time", ""),
    9: ("flight_date", "2013-02-30"),
}


def flights(rows: int = 700) -> pd.DataFrame:
    return demo.parts()["test"].head(rows)


def with_plain_dates(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table as a CSV contains it: dates without a time of day."""
    return frame.assign(flight_date=frame["flight_date"].dt.strftime("%Y-%m-%d"))


def skline_score(
    packaged: demo.Packaged, table: Path, out: Path, *more: str, max_file_bytes: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command; files are limited to `max_file_bytes` bytes, as if the disk were full."""
    command = [sys.executable, "-m", "skline.cli", "score", table, "--out", out]
    command += ["--artifact", packaged.folder, "--digest", packaged.digest, *more]
    if max_file_bytes is not None:
        command = [sys.executable, "-c", LIMIT_FILE_SIZE, max_file_bytes, *command]
    # In a folder without params.yaml, whose source settings would be the default format.
    return subprocess.run(list(map(str, command)), cwd=table.parent, capture_output=True, text=True, check=False)


def score(packaged: demo.Packaged, table: Path, out: Path, keep: str = "", jobs: int = 2, **form: Any) -> Any:
    scorer = PartScorer(packaged.folder, packaged.digest, [name for name in keep.split(",") if name])
    return score_table(TableReader(table, TableFormat(**form)), scorer, out, thread_engine(jobs))


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    flights().to_parquet(tmp_path / "flights.parquet", row_group_size=300)
    return tmp_path / "flights.parquet"


def test_scores_of_csv_and_parquet_equal_the_service_and_the_pipeline(
    client: httpx.Client, packaged: demo.Packaged, parquet: Path, tmp_path: Path
) -> None:
    frame = flights()
    with_plain_dates(frame).to_csv(tmp_path / "flights.csv", index=False)
    for table in (parquet, tmp_path / "flights.csv"):
        process = skline_score(packaged, table, tmp_path / "scores.parquet", "--keep", "flight_id")
        assert (process.returncode, process.stdout.split()[0], process.stderr) == (0, "700", "")
        scores = pq.read_table(tmp_path / "scores.parquet")
        assert scores.column_names == ["row", "prediction", "probability_false", "probability_true", "flight_id"]
        assert scores["row"].to_pylist() == list(range(len(frame)))
        assert scores["flight_id"].to_pylist() == frame["flight_id"].tolist()
        probabilities = np.column_stack([scores["probability_false"], scores["probability_true"]])
        assert probabilities.tobytes() == demo.pipeline().predict_proba(frame[INPUTS]).tobytes()
        rows = to_json_rows(demo.contract().inputs, frame.head(200))
        predictions = client.post("/predict/batch", json=rows).json()["predictions"]
        assert [a["prediction"] for a in predictions] == scores["prediction"].to_pylist()[:200]
        assert [list(a["probabilities"].values()) for a in predictions] == probabilities[:200].tolist()


def test_invalid_rows_are_rejected_into_the_side_file_with_all_reasons(
    client: httpx.Client, packaged: demo.Packaged, tmp_path: Path
) -> None:
    frame = with_plain_dates(flights(40)[INPUTS]).astype(object).reset_index(drop=True)
    for row, (name, value) in INVALID_CELLS.items():
        frame.loc[row, name] = value
    frame.loc[9, "dest"] = "nowhere"
    frame.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "s.rejected.csv").write_text("of an earlier run")
    process = skline_score(packaged, tmp_path / "t.csv", tmp_path / "s.csv")
    assert (process.returncode, process.stderr) == (3, "")
    assert process.stdout.splitlines()[1].startswith("4 rows rejected into ")
    rejected_rows = pd.read_csv(tmp_path / "s.rejected.csv", dtype=str, keep_default_na=False)
    assert rejected_rows["row"].tolist() == [str(row) for row in INVALID_CELLS]
    assert [rejected_rows[name][i] for i, (name, _) in enumerate(INVALID_CELLS.values())] == [
        value for _, value in INVALID_CELLS.values()
    ]
    response = client.post("/predict", json={**to_json_rows(demo.contract().inputs, flights(1))[0], "carrier": "??"})
    assert rejected_rows["reasons"][0] == f"carrier: {response.json()['detail'][0]['msg']}"
    assert [part.split(":")[0] for part in rejected_rows["reasons"][3].split("; ")] == ["flight_date", "dest"]
    assert pd.read_csv(tmp_path / "s.csv")["row"].tolist() == [row for row in range(40) if row not in INVALID_CELLS]
    with_plain_dates(flights(5)[INPUTS]).to_csv(tmp_path / "t.csv", index=False)
    assert skline_score(packaged, tmp_path / "t.csv", tmp_path / "s.csv").returncode == 0
    assert not (tmp_path / "s.rejected.csv").exists()


def test_kept_numbers_of_a_decimal_comma_are_written_as_the_predictions_are(tmp_path: Path) -> None:
    number = {"kind": "number", "notation": "1.234,5"}
    columns = (Column(name="x", **number), Column(name="y", role="target", **number))
    fitted = LinearRegression().fit(pd.DataFrame({"x": [0.0, 1.0, 2.0]}), [0.5, 1.0, 1.5])
    contract = Contract(title="Line", columns=columns, task="regression")
    packaged = demo.package(tmp_path / "artifact", fitted, contract, [{"x": 2.0}], background=[])
    (tmp_path / "t.csv").write_text("x;y;note\n1,234;2,5;a\n1.234,5;unknown;12,5\n-0,5;;\n")
    score(packaged, tmp_path / "t.csv", tmp_path / "s.csv", keep="x,y,note", delimiter=";")
    scores = pd.read_csv(tmp_path / "s.csv")
    assert scores["x"].tolist() == [1.234, 1234.5, -0.5]
    assert scores["prediction"].tolist() == fitted.predict(scores[["x"]]).tolist()
    assert scores["y"].tolist()[:2] == ["2.5", "unknown"]
    assert scores["note"].tolist()[:2] == ["a", "12,5"], "a column that the contract does not have is copied"
    score(packaged, tmp_path / "s.csv", tmp_path / "again.csv")
    assert pd.read_csv(tmp_path / "again.csv")["prediction"].tolist() == scores["prediction"].tolist()


def test_many_values_that_no_training_row_has_are_reported(packaged: demo.Packaged, tmp_path: Path) -> None:
    frame = with_plain_dates(flights(200)[INPUTS])
    frame["dest"] = frame["dest"].where(np.arange(200) % 10 != 3, "ZZZ")
    frame.to_csv(tmp_path / "t.csv", index=False)
    process = skline_score(packaged, tmp_path / "t.csv", tmp_path / "s.csv")
    assert process.returncode == 0
    assert process.stderr.startswith("dest: 21 of 200 values, such as 'ZZZ', are in none of the training rows;")
    assert len(process.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.csv.zip", "t.csv.zst", "latin.csv"])
def test_scores_do_not_depend_on_the_format(name: str, packaged: demo.Packaged, tmp_path: Path, parquet: Path) -> None:
    form = {"delimiter": ";", "encoding": "utf-16"} if name == "latin.csv" else {}
    content = with_plain_dates(flights()).to_csv(
        index=False, sep=form.get("delimiter", "\t" if name == "t.tsv" else ",")
    )
    encoded = content.encode(form.get("encoding", "utf-8"))
    path = tmp_path / name
    match path.suffix:
        case ".gz":
            path.write_bytes(gzip.compress(encoded))
        case ".zst":
            path.write_bytes(pa.Codec("zstd").compress(encoded, asbytes=True))
        case ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("t.csv", encoded)
        case _:
            path.write_bytes(encoded)
    assert score(packaged, path, tmp_path / "s.csv.gz", jobs=1, **form).scored == len(flights())
    score(packaged, parquet, tmp_path / "p.parquet")
    scores = pd.read_csv(tmp_path / "s.csv.gz")
    pd.testing.assert_frame_equal(scores, pd.read_parquet(tmp_path / "p.parquet"), check_exact=True)


FORMULAS = ["=HYPERLINK(1)", "+cmd|' /C calc'!A0", "@SUM(1)", "-2+3", "\t=1", "plain", "-5", "+1.5e3", None]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "csv.gz", "parquet"])
def test_formulas_get_an_apostrophe_in_csv(suffix: str, packaged: demo.Packaged, tmp_path: Path) -> None:
    table = flights(len(FORMULAS)).assign(note=FORMULAS)
    table.to_parquet(tmp_path / "t.parquet")
    out = tmp_path / f"scores.{suffix}"
    counts = score(packaged, tmp_path / "t.parquet", out, keep="note")
    separator = "\t" if suffix == "tsv" else ","
    written = pd.read_parquet(out) if suffix == "parquet" else pd.read_csv(out, sep=separator, dtype={"note": "str"})
    notes = [None if pd.isna(note) else note for note in written["note"]]
    if suffix == "parquet":
        assert notes == FORMULAS
        assert counts.remarks == []
    else:
        assert notes == [f"'{note}" for note in FORMULAS[:5]] + FORMULAS[5:]
        [remark] = counts.remarks
        assert remark.startswith("5 cells begin like a formula and got an apostrophe in front; --formulas writes")


def test_formulas_are_written_as_they_are_on_request(packaged: demo.Packaged, tmp_path: Path) -> None:
    flights(2).assign(note=["=1+1", "x"]).to_parquet(tmp_path / "t.parquet")
    done = skline_score(packaged, tmp_path / "t.parquet", tmp_path / "s.csv", "--keep", "note", "--formulas")
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(tmp_path / "s.csv")["note"].tolist() == ["=1+1", "x"]
    assert "apostrophe" not in done.stderr


@pytest.mark.parametrize("name", ["scores.parquet", "scores.csv", "scores.csv.gz"])
def test_full_disk_is_reported_in_one_line_and_keeps_the_existing_file(
    name: str, packaged: demo.Packaged, parquet: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / name
    out.parent.mkdir()
    out.write_text("of an earlier run")
    process = skline_score(packaged, parquet, out, max_file_bytes=2048)
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr.startswith("error: the disk is full, or a quota is used up (")
    assert process.stderr.count("\n") == 1
    assert [path.read_text() for path in out.parent.iterdir()] == ["of an earlier run"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_or_interrupted_run_leaves_no_output(packaged: demo.Packaged, tmp_path: Path, number: int) -> None:
    pq.write_table(pa.concat_tables([pa.Table.from_pandas(flights())] * 1500), tmp_path / "t.parquet")
    command = [sys.executable, "-m", "skline.cli", "score", "t.parquet", "--out", "s.csv"]
    command += ["--artifact", str(packaged.folder), "--digest", packaged.digest]
    # A shell starts background jobs, of which pytest may be one, with SIGINT ignored, and children inherit that.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, handler)
        while not any(path.stat().st_size for path in tmp_path.glob(".s.csv.*")) and process.poll() is None:
            time.sleep(0.01)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(number)
        message = process.communicate()[1]
    assert not (tmp_path / "s.csv").exists()
    if number == signal.SIGINT:
        assert (process.returncode, message.count("\n")) == (INTERRUPTED_STATUS, 1)
        assert message.startswith("interrupted; ")
        assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


class Numbers(Table):
    a: float = column("a number", example=1.0)
    b: float = column("a number", example=1.0)


class Colour(Numbers):
    colour: str = column("what it is", role="target", isin=["blue", "green", "red"])


@pytest.fixture(scope="module", params=["no plan", "rejecting"])
def packaged_numbers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A pipeline without a plan, and one that rejects values beyond float32."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(90, 2)), columns=["a", "b"])
    target = np.array(["red", "green", "blue"])[np.arange(90) % 3]
    models = {"no plan": (PowerTransformer(), LogisticRegression()), "rejecting": (RandomForestClassifier(5),)}
    fitted = make_pipeline(*models[request.param]).fit(frame, target)
    folder = tmp_path_factory.mktemp("numbers") / "artifact"
    rows = json.loads(frame.head(5).to_json(orient="records"))
    return demo.package(folder, fitted, derive(Numbers, Colour, {}), rows), fitted


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")  # the pipeline without a plan computes on
def test_rows_that_the_model_rejects_are_rejected_alone(packaged_numbers: Any, tmp_path: Path) -> None:
    packaged, fitted = packaged_numbers
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(500, 2)), columns=["a", "b"])
    good = fitted.predict_proba(frame)
    frame.loc[[7, 300], "b"] = 1.7e308
    frame.to_parquet(tmp_path / "t.parquet")
    counts = score(packaged, tmp_path / "t.parquet", tmp_path / "s.parquet")
    scores = pd.read_parquet(tmp_path / "s.parquet")
    assert (counts.scored, counts.rejected) in ((498, 2), (500, 0))
    assert list(scores.columns) == ["row", "prediction", "probability_blue", "probability_green", "probability_red"]
    if counts.rejected:
        rejected_rows = pd.read_parquet(tmp_path / "s.rejected.parquet")
        assert (rejected_rows["row"].tolist(), rejected_rows["b"].tolist()) == ([7, 300], [1.7e308] * 2)
        assert rejected_rows["reasons"].str.startswith("the model ").all()
    ordinary = ~scores["row"].isin([7, 300]).to_numpy()
    expected = np.delete(good, [7, 300], axis=0)
    np.testing.assert_allclose(scores.iloc[:, 2:].to_numpy()[ordinary], expected, rtol=1e-12)


class Price(Numbers):
    price: float = column("the price", role="target")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_regression_has_the_interval_of_skline_load(suffix: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(90, 2)), columns=["a", "b"])
    fitted = make_pipeline(LinearRegression()).fit(frame, frame["a"] * 3 - frame["b"])
    tuning = Tuning(rows=90, interval=Interval(level=0.9, half_width=0.3, rows=90))
    contract = derive(Numbers, Price, {})
    packaged = demo.package(tmp_path / "artifact", fitted, contract, [{"a": 1.0, "b": 2.0}], tuning=tuning)
    frame.to_parquet(tmp_path / "t.parquet")
    score(packaged, tmp_path / "t.parquet", tmp_path / f"s.{suffix}")
    scores = pd.read_csv(tmp_path / "s.csv") if suffix == "csv" else pd.read_parquet(tmp_path / "s.parquet")
    expected = Model(Artifact.open(packaged.folder, packaged.digest)).predict(frame)
    assert list(scores.columns) == ["row", "prediction", "interval_low", "interval_high"]
    assert scores.drop(columns="row").to_numpy().tobytes() == expected.to_numpy().tobytes()


def test_column_to_keep_that_the_table_lacks_is_no_question_of_the_delimiter(
    packaged: demo.Packaged, parquet: Path, tmp_path: Path
) -> None:
    with pytest.raises(SklineError, match=r"flights.parquet lacks the columns 'foo'; it has .*; rename or add them$"):
        score(packaged, parquet, tmp_path / "s.csv", keep="foo")


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("a,b\n1,2\n", [], "lacks the columns 'flight_date'.*, or give the --delimiter"),
        ("a,a\n1,2\n", [], "more than one column called"),
        ("", [], "t.csv is empty"),
        ("a,b\n", [], "lacks the columns"),
        (None, [], "there is no file"),
        ("a\n", ["--jobs", "0"], "must be at least 1"),
        ("a\n", ["--scheduler", "tcp://127.0.0.1:1"], "needs --engine dask"),
        ("a\n", ["--delimiter", ";;"], "must be one character"),
        ("row," + ",".join(INPUTS) + "\n", ["--keep", "row"], "'row' cannot be kept"),
        ("a\n", ["--out", "s.xlsx"], "has no suffix of a known format"),
        ("a\n", ["--out", "t.csv"], "the table itself"),
        (",".join(INPUTS) + "\nx,y\n", [], "t.csv has 7 column names, but 1 of its lines .*line 2 has 2"),
    ],
)
def test_error_is_reported_in_one_line(
    content: str | None, more: list[str], message: str, packaged: demo.Packaged, tmp_path: Path
) -> None:
    table = tmp_path / "t.csv"
    if content is not None:
        table.write_text(content)
    more = [str(tmp_path / word) if word.endswith((".xlsx", ".csv")) else word for word in more]
    process = skline_score(packaged, table, tmp_path / "s.csv", *more)
    assert process.returncode == 1
    assert process.stderr.startswith("error: ")
    assert process.stderr.count("\n") == 1
    assert re.search(message, process.stderr), process.stderr
    assert not list(tmp_path.glob("*s.csv*"))


def test_table_without_rows_gives_scores_without_rows(packaged: demo.Packaged, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",".join(INPUTS) + "\n")
    flights(0).to_parquet(tmp_path / "t.parquet")
    for table in ("t.csv", "t.parquet"):
        assert score(packaged, tmp_path / table, tmp_path / "s.parquet").scored == 0
        assert pq.read_table(tmp_path / "s.parquet").schema.types[:3] == [pa.int64(), pa.bool_(), pa.float64()]


@pytest.mark.slow
def test_dask_cluster_writes_the_same_files(packaged: demo.Packaged, parquet: Path, tmp_path: Path) -> None:
    pytest.importorskip("dask.distributed", reason="Dask is not installed; run `uv sync`")
    frame = with_plain_dates(flights()).astype(object)
    frame.iloc[650, frame.columns.get_loc("carrier")] = "??"
    frame.to_csv(tmp_path / "t.csv", index=False)
    for table in (parquet, tmp_path / "t.csv"):
        for engine in ("threads", "dask"):
            process = skline_score(packaged, table, tmp_path / f"{engine}.parquet", "--engine", engine, "--jobs", "2")
            assert process.returncode == (0 if table is parquet else 3), process.stderr
        for name in ("threads", "threads.rejected"):
            if (tmp_path / f"{name}.parquet").exists():
                other = tmp_path / f"{name.replace('threads', 'dask')}.parquet"
                assert pq.read_table(tmp_path / f"{name}.parquet").equals(pq.read_table(other))
