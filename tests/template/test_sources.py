"""A table goes the same way whatever it lies in: packed or plain, in any encoding in use, Parquet, a database."""

import gzip
import json
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psycopg
import pytest
import yaml

from skline.artifact import Artifact, read_digest
from skline.contract.frames import to_frame
from skline.init.run import Wishes, make_plan, source_of
from skline.scoring.golden import read_rows
from skline.scoring.reference import score_frame
from skline.sources.locate import local_table
from tests.template.tables import signal
from tests.template.test_tables import ask, numbers, project, run

QUERY = """SELECT "x0", "x1", colour AS "Farbe: hell", price, churned
FROM customers  -- all of them
ORDER BY row"""


def frame() -> pd.DataFrame:
    """A table with text that every encoding writes in its own way, and numbers with fractions."""
    made, score, random = signal(300, 21, columns=2)
    made = made.rename(columns={"colour": "Farbe: hell"}).replace({"green": "grün"})
    made["price"] = (100 + random.normal(size=300)).round(2)
    return made.assign(churned=(score > 0.5).astype(int))


def packed(ending: str) -> Callable[[pd.DataFrame, Path], Path]:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        path, text = folder / f"t{ending}", table.to_csv(index=False).encode()
        if ending.endswith(".gz"):
            path.write_bytes(gzip.compress(text))
        else:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("inside.csv", text)
        return path

    return write


def text(ending: str, **how: str) -> Callable[[pd.DataFrame, Path], Path]:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        path = folder / f"t{ending}"
        table.to_csv(path, index=False, **how)  # type: ignore[call-overload]
        return path

    return write


def parquet(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "t.parquet"
    table.to_parquet(path, index=False)
    return path


FILES = {
    "csv.gz": packed(".csv.gz"),
    "zip": packed(".zip"),
    "parquet": parquet,
    "tsv": text(".tsv", sep="\t"),
    "semicolon": text(".csv", sep=";"),
    "utf-16": text(".csv", encoding="utf-16"),
    "latin-1": text(".csv", encoding="latin-1"),
}


def stored(table: pd.DataFrame) -> pd.DataFrame:
    """The table as a database holds it: with a column to order by."""
    return table.rename(columns={"Farbe: hell": "colour"}).reset_index(names="row")


def in_sqlite(folder: Path) -> str:
    path = folder / "shop.db"
    with sqlite3.connect(path) as connection:
        stored(frame()).to_sql("customers", connection, index=False)
    connection.close()
    return f"sqlite:///{path}"


def in_postgresql(url: str) -> str:
    columns = "row int, x0 numeric(9, 3), x1 real, colour text, price numeric, churned boolean"
    rows = [tuple(map(str, row)) for row in stored(frame()).itertuples(index=False)]
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE customers ({columns})".encode())
        with cursor.copy("COPY customers FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    return url


def given(kind: str, folder: Path, request: pytest.FixtureRequest) -> Wishes:
    """Put the table into something, and say what a user would."""
    if kind == "sqlite":
        return Wishes(in_sqlite(folder), "churned", query=QUERY)
    if kind == "postgresql":
        return Wishes(in_postgresql(request.getfixturevalue("server").database()), "churned", query=QUERY)
    return Wishes(str(FILES[kind](frame(), folder)), "churned")


KINDS = [*FILES, "sqlite", "postgresql"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_is_guessed_of_it(tmp_path: Path, request: pytest.FixtureRequest, kind: str) -> None:
    wishes = given(kind, tmp_path, request)
    with local_table(source_of(wishes)) as path:
        plan = make_plan(path, wishes.table, wishes)
    assert [(column.name, column.kind) for column in plan.contract.inputs] == [
        ("x0", "number"),
        ("x1", "number"),
        ("Farbe: hell", "string"),
        ("price", "number"),
    ]
    assert next(c for c in plan.contract.inputs if c.kind == "string").choices == ("blue", "grün", "red")
    source = yaml.safe_load(plan.files[Path("params.yaml")])["source"]
    assert source["uri"] == wishes.table
    assert source.get("query") == wishes.query


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "semicolon", "latin-1", "tsv", "csv.gz"])
def test_the_line_reads_of_it_what_is_in_it(tmp_path: Path, request: pytest.FixtureRequest, kind: str) -> None:
    root = project(tmp_path / "project")
    run(root, "skline.cli", "init", given(kind, tmp_path, request).table, "--target", "churned")
    run(root, "skline.stages", "ingest")
    found = pd.read_parquet(root / "data/raw/table.parquet")
    expected = frame()[found.columns.to_list()]
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "utf-16", "sqlite", "postgresql"])
def test_it_goes_the_whole_way(tmp_path: Path, request: pytest.FixtureRequest, kind: str) -> None:
    wishes = given(kind, tmp_path, request)
    root = project(tmp_path / "project")
    asked = [] if wishes.query is None else ["--query", wishes.query]
    run(root, "skline.cli", "init", wishes.table, "--target", wishes.target, *asked)
    run(root, "dvc", "repro")
    artifact = Artifact.open(root / "artifact", read_digest(root / "artifact.sha256"))
    contract = artifact.contract
    assert contract.input_names == ["x0", "x1", "Farbe: hell", "price"]
    rows = [*artifact.golden.rows[:5], {"x0": 1, "x1": 0.5, "Farbe: hell": "grün", "price": 100.25}]
    answers, _, page = ask(root, rows)
    scores = score_frame(artifact.load_pipeline(), to_frame(contract.inputs, read_rows(contract, rows)))
    assert scores.probabilities is not None
    assert [numbers(answer) for answer in answers] == scores.probabilities.tolist()
    assert "grün" in page
    lineage = json.loads((root / "reports/lineage.json").read_text())
    assert lineage["rows"] == 300
    assert lineage.get("query") == wishes.query
    table = tmp_path / "more.csv"
    frame().to_csv(table, index=False)
    run(root, "skline.cli", "score", str(table), "--out", str(tmp_path / "scores.csv"), *plain(kind))
    assert len(pd.read_csv(tmp_path / "scores.csv")) == 300
    found = json.loads(run(root, "skline.cli", "doctor", "--json").split("\n]\n")[0] + "\n]")
    assert [finding for finding in found if finding["level"] == "broken"] == []


def plain(kind: str) -> list[str]:
    """How to say that a CSV is not written as the source is."""
    return ["--encoding", "utf-8"] if kind == "utf-16" else []
