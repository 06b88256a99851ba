"""A table is scored as `/predict` answers its rows, to the last bit; bad rows go aside; no half file is ever left."""

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
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

from skline.batch.part import PartScorer
from skline.batch.read import Format, Input
from skline.batch.run import on_threads, score_table
from skline.contract.derive import derive
from skline.contract.frames import to_json_rows
from skline.contract.table import Table, column
from tests import demo

INPUTS = demo.contract().input_names
CONFINED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""
BAD = {3: ("carrier", "??"), 5: ("distance", "-1"), 8: ("sched_dep_time", ""), 9: ("flight_date", "2013-02-30")}


def flights(rows: int = 700) -> pd.DataFrame:
    return demo.parts()["test"].head(rows)


def text(frame: pd.DataFrame) -> pd.DataFrame:
    """As a CSV holds it: days without a clock."""
    return frame.assign(flight_date=frame["flight_date"].dt.strftime("%Y-%m-%d"))


def skline_score(
    packaged: demo.Packaged, table: Path, out: Path, *more: str, room: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command; no file may become longer than `room` bytes, as if the disk were full then."""
    command = [sys.executable, "-m", "skline.cli", "score", table, "--out", out]
    command += ["--artifact", packaged.folder, "--digest", packaged.digest, *more]
    if room is not None:
        command = [sys.executable, "-c", CONFINED, room, *command]
    # Where no params.yaml tells how this project's own table is written.
    return subprocess.run(list(map(str, command)), cwd=table.parent, capture_output=True, text=True, check=False)


def score(packaged: demo.Packaged, table: Path, out: Path, keep: str = "", jobs: int = 2, **form: Any) -> Any:
    scorer = PartScorer(packaged.folder, packaged.digest, [name for name in keep.split(",") if name])
    return score_table(Input(table, Format(**form)), scorer, out, on_threads(jobs))


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    flights().to_parquet(tmp_path / "flights.parquet", row_group_size=300)
    return tmp_path / "flights.parquet"


def test_csv_and_parquet_get_the_answers_of_the_service_and_of_the_pipeline(
    client: httpx.Client, packaged: demo.Packaged, parquet: Path, tmp_path: Path
) -> None:
    frame = flights()
    text(frame).to_csv(tmp_path / "flights.csv", index=False)
    for table in (parquet, tmp_path / "flights.csv"):
        done = skline_score(packaged, table, tmp_path / "scores.parquet", "--keep", "flight_id")
        assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "700", "")
        found = pq.read_table(tmp_path / "scores.parquet")
        assert found.column_names == ["row", "prediction", "probability_false", "probability_true", "flight_id"]
        assert found["row"].to_pylist() == list(range(len(frame)))
        assert found["flight_id"].to_pylist() == frame["flight_id"].tolist()
        chances = np.column_stack([found["probability_false"], found["probability_true"]])
        assert chances.tobytes() == demo.pipeline().predict_proba(frame[INPUTS]).tobytes()
        rows = to_json_rows(demo.contract().inputs, frame.head(200))
        answers = client.post("/predict/batch", json=rows).json()["predictions"]
        assert [a["prediction"] for a in answers] == found["prediction"].to_pylist()[:200]
        assert [list(a["probabilities"].values()) for a in answers] == chances[:200].tolist()


def test_bad_rows_go_aside_with_all_reasons_and_the_exit_status_says_so(
    client: httpx.Client, packaged: demo.Packaged, tmp_path: Path
) -> None:
    frame = text(flights(40)[INPUTS]).astype(object).reset_index(drop=True)
    for row, (name, value) in BAD.items():
        frame.loc[row, name] = value
    frame.loc[9, "dest"] = "nowhere"
    frame.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "s.rejected.csv").write_text("of an earlier run")
    done = skline_score(packaged, tmp_path / "t.csv", tmp_path / "s.csv")
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.splitlines()[1].startswith("4 rows rejected into ")
    aside = pd.read_csv(tmp_path / "s.rejected.csv", dtype=str, keep_default_na=False)
    assert aside["row"].tolist() == [str(row) for row in BAD]
    assert [aside[name][i] for i, (name, _) in enumerate(BAD.values())] == [value for _, value in BAD.values()]
    answer = client.post("/predict", json={**to_json_rows(demo.contract().inputs, flights(1))[0], "carrier": "??"})
    assert aside["reasons"][0] == f"carrier: {answer.json()['detail'][0]['msg']}"
    assert [part.split(":")[0] for part in aside["reasons"][3].split("; ")] == ["flight_date", "dest"]
    assert pd.read_csv(tmp_path / "s.csv")["row"].tolist() == [row for row in range(40) if row not in BAD]
    text(flights(5)[INPUTS]).to_csv(tmp_path / "t.csv", index=False)
    assert skline_score(packaged, tmp_path / "t.csv", tmp_path / "s.csv").returncode == 0
    assert not (tmp_path / "s.rejected.csv").exists()


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.csv.zip", "t.csv.zst", "latin.csv"])
def test_every_format_gives_the_same_scores(name: str, packaged: demo.Packaged, tmp_path: Path, parquet: Path) -> None:
    form = {"delimiter": ";", "encoding": "utf-16"} if name == "latin.csv" else {}
    content = text(flights()).to_csv(index=False, sep=form.get("delimiter", "\t" if name == "t.tsv" else ","))
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
    found = pd.read_csv(tmp_path / "s.csv.gz")
    pd.testing.assert_frame_equal(found, pd.read_parquet(tmp_path / "p.parquet"), check_exact=True)


@pytest.mark.parametrize("name", ["scores.parquet", "scores.csv", "scores.csv.gz"])
def test_a_full_disk_is_told_in_one_line_and_leaves_what_was_there(
    name: str, packaged: demo.Packaged, parquet: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / name
    out.parent.mkdir()
    out.write_text("of an earlier run")
    done = skline_score(packaged, parquet, out, room=2048)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the disk is full, or a quota is used up (")
    assert done.stderr.count("\n") == 1
    assert [path.read_text() for path in out.parent.iterdir()] == ["of an earlier run"]


def test_a_killed_run_leaves_no_output(packaged: demo.Packaged, tmp_path: Path) -> None:
    pq.write_table(pa.concat_tables([pa.Table.from_pandas(flights())] * 1500), tmp_path / "t.parquet")
    command = [sys.executable, "-m", "skline.cli", "score", "t.parquet", "--out", "s.csv"]
    command += ["--artifact", str(packaged.folder), "--digest", packaged.digest]
    with subprocess.Popen(command, cwd=tmp_path) as process:
        while not any(path.stat().st_size for path in tmp_path.glob(".s.csv.*")) and process.poll() is None:
            time.sleep(0.01)
        assert process.poll() is None, "it was done before it could be killed"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "s.csv").exists()


class Numbers(Table):
    a: float = column("a number", example=1.0)
    b: float = column("a number", example=1.0)


class Colour(Numbers):
    colour: str = column("what it is", role="target", isin=["blue", "green", "red"])


@pytest.fixture(scope="module", params=["no plan", "refusing"])
def numbers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A pipeline without a plan, and one that refuses values beyond float32."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(90, 2)), columns=["a", "b"])
    target = np.array(["red", "green", "blue"])[np.arange(90) % 3]
    models = {"no plan": (PowerTransformer(), LogisticRegression()), "refusing": (RandomForestClassifier(5),)}
    fitted = make_pipeline(*models[request.param]).fit(frame, target)
    folder = tmp_path_factory.mktemp("numbers") / "artifact"
    rows = json.loads(frame.head(5).to_json(orient="records"))
    return demo.package(folder, fitted, derive(Numbers, Colour, {}), rows), fitted


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")  # the pipeline without a plan computes on
def test_rows_that_the_model_cannot_score_go_aside_alone(numbers: Any, tmp_path: Path) -> None:
    packaged, fitted = numbers
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(500, 2)), columns=["a", "b"])
    good = fitted.predict_proba(frame)
    frame.loc[[7, 300], "b"] = 1.7e308
    frame.to_parquet(tmp_path / "t.parquet")
    counts = score(packaged, tmp_path / "t.parquet", tmp_path / "s.parquet")
    found = pd.read_parquet(tmp_path / "s.parquet")
    assert (counts.scored, counts.rejected) in ((498, 2), (500, 0))
    assert list(found.columns) == ["row", "prediction", "probability_blue", "probability_green", "probability_red"]
    if counts.rejected:
        aside = pd.read_parquet(tmp_path / "s.rejected.parquet")
        assert (aside["row"].tolist(), aside["b"].tolist()) == ([7, 300], [1.7e308] * 2)
        assert aside["reasons"].str.startswith("the model ").all()
    ordinary = ~found["row"].isin([7, 300]).to_numpy()
    expected = np.delete(good, [7, 300], axis=0)
    np.testing.assert_allclose(found.iloc[:, 2:].to_numpy()[ordinary], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("a,b\n1,2\n", [], "lacks the columns 'flight_date'"),
        ("a,a\n1,2\n", [], "more than one column called"),
        ("", [], "lacks the columns"),
        (None, [], "there is no file"),
        ("a\n", ["--jobs", "0"], "at least one is needed"),
        ("a\n", ["--scheduler", "tcp://127.0.0.1:1"], "is for --engine dask"),
        ("a\n", ["--delimiter", ";;"], "must be one character"),
        ("row," + ",".join(INPUTS) + "\n", ["--keep", "row"], "'row' cannot be kept"),
        ("a\n", ["--out", "s.xlsx"], "tells no format"),
        ("a\n", ["--out", "t.csv"], "the table itself"),
        (",".join(INPUTS) + "\nx,y\n", [], "cannot read t.csv: .*Expected 7 columns, got 2"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    content: str | None, more: list[str], message: str, packaged: demo.Packaged, tmp_path: Path
) -> None:
    table = tmp_path / "t.csv"
    if content is not None:
        table.write_text(content)
    more = [str(tmp_path / word) if word.endswith((".xlsx", ".csv")) else word for word in more]
    done = skline_score(packaged, table, tmp_path / "s.csv", *more)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert re.search(message, done.stderr), done.stderr
    assert not list(tmp_path.glob("*s.csv*"))


def test_a_table_without_rows_gives_scores_without_rows(packaged: demo.Packaged, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",".join(INPUTS) + "\n")
    flights(0).to_parquet(tmp_path / "t.parquet")
    for table in ("t.csv", "t.parquet"):
        assert score(packaged, tmp_path / table, tmp_path / "s.parquet").scored == 0
        assert pq.read_table(tmp_path / "s.parquet").schema.types[:3] == [pa.int64(), pa.bool_(), pa.float64()]


@pytest.mark.slow
def test_a_cluster_gives_the_same_files(packaged: demo.Packaged, parquet: Path, tmp_path: Path) -> None:
    pytest.importorskip("dask.distributed", reason="Dask is not installed; run `uv sync --group dask`")
    frame = text(flights()).astype(object)
    frame.iloc[650, frame.columns.get_loc("carrier")] = "??"
    frame.to_csv(tmp_path / "t.csv", index=False)
    for table in (parquet, tmp_path / "t.csv"):
        for engine in ("threads", "dask"):
            done = skline_score(packaged, table, tmp_path / f"{engine}.parquet", "--engine", engine, "--jobs", "2")
            assert done.returncode == (0 if table is parquet else 3), done.stderr
        for name in ("threads", "threads.rejected"):
            if (tmp_path / f"{name}.parquet").exists():
                other = tmp_path / f"{name.replace('threads', 'dask')}.parquet"
                assert pq.read_table(tmp_path / f"{name}.parquet").equals(pq.read_table(other))
