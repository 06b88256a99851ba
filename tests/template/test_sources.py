"""Tests that every kind of source works the same: CSV (plain, compressed, in any encoding), Parquet and databases."""

import gzip
import json
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
import psycopg
import pytest
import yaml

from skline.artifact import Artifact, read_digest
from skline.contract.frames import to_frame
from skline.init.plan import InitOptions, make_plan
from skline.init.run import source_settings
from skline.scoring.golden_verification import parse_rows
from skline.scoring.reference import score_frame
from skline.sources.kinds import local_table
from tests.template.running import output_numbers, predict, run_module, run_pipeline
from tests.template.tables import make_columns

QUERY = """SELECT "x0", "x1", colour AS "Farbe: hell", price, churned
FROM customers  -- all of them
ORDER BY row"""


def sample_frame() -> pd.DataFrame:
    """Return a table with text that differs between encodings, and decimal numbers."""
    table, score, random = make_columns(300, 21, columns=2)
    table = table.rename(columns={"colour": "Farbe: hell"}).replace({"green": "grün"})
    table["price"] = (100 + random.normal(size=300)).round(2)
    return table.assign(churned=(score > 0.5).astype(int))


def write_compressed(ending: str) -> Callable[[pd.DataFrame, Path], Path]:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        path, content = folder / f"t{ending}", table.to_csv(index=False).encode()
        if ending.endswith(".gz"):
            path.write_bytes(gzip.compress(content))
        else:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("inside.csv", content)
        return path

    return write


def write_csv(ending: str, **options: str) -> Callable[[pd.DataFrame, Path], Path]:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        path = folder / f"t{ending}"
        table.to_csv(path, index=False, **options)  # type: ignore[call-overload]
        return path

    return write


def write_parquet(table: pd.DataFrame, folder: Path) -> Path:
    path = folder / "t.parquet"
    table.to_parquet(path, index=False)
    return path


FILES = {
    "csv.gz": write_compressed(".csv.gz"),
    "zip": write_compressed(".zip"),
    "parquet": write_parquet,
    "tsv": write_csv(".tsv", sep="\t"),
    "semicolon": write_csv(".csv", sep=";"),
    "utf-16": write_csv(".csv", encoding="utf-16"),
    "latin-1": write_csv(".csv", encoding="latin-1"),
}


def as_stored(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as a database stores it, with a column to order by."""
    return table.rename(columns={"Farbe: hell": "colour"}).reset_index(names="row")


def create_sqlite_table(folder: Path) -> str:
    path = folder / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        as_stored(sample_frame()).to_sql("customers", connection, index=False)
    connection.close()
    return f"sqlite:///{path}"


def create_postgresql_table(url: str) -> str:
    columns = "row int, x0 numeric(9, 3), x1 real, colour text, price numeric, churned boolean"
    rows = [tuple(map(str, row)) for row in as_stored(sample_frame()).itertuples(index=False)]
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE customers ({columns})".encode())
        with cursor.copy("COPY customers FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    return url


def store_table(kind: str, folder: Path, request: pytest.FixtureRequest) -> InitOptions:
    """Store the sample table in a kind of source, and return the options for it."""
    if kind == "sqlite":
        return InitOptions(create_sqlite_table(folder), "churned", query=QUERY)
    if kind == "postgresql":
        return InitOptions(
            create_postgresql_table(request.getfixturevalue("server").database()), "churned", query=QUERY
        )
    return InitOptions(str(FILES[kind](sample_frame(), folder)), "churned")


KINDS = [*FILES, "sqlite", "postgresql"]


@pytest.mark.parametrize("kind", KINDS)
def test_infers_the_same_columns_from_every_kind_of_source(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    options = store_table(kind, tmp_path, request)
    with local_table(source_settings(options)) as path:
        plan = make_plan(path, options.table, options)
    assert [(column.name, column.kind) for column in plan.contract.inputs] == [
        ("x0", "number"),
        ("x1", "number"),
        ("Farbe: hell", "string"),
        ("price", "number"),
    ]
    assert next(c for c in plan.contract.inputs if c.kind == "string").choices == ("blue", "grün", "red")
    source = yaml.safe_load(plan.files[Path("params.yaml")])["source"]
    assert source["uri"] == options.table
    assert source.get("query") == options.query


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "semicolon", "latin-1", "tsv", "csv.gz"])
def test_stage_ingest_reads_the_table_unchanged(
    tmp_path: Path, project: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    table = store_table(kind, tmp_path, request).table
    run_module(project, "skline.cli", "init", table, "--target", "churned", "--seconds", "0")
    run_module(project, "skline.cli", "stage", "ingest")
    table = pd.read_parquet(project / "data/raw/table.parquet")
    expected = sample_frame()[table.columns.to_list()]
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "utf-16", "sqlite", "postgresql"])
def test_pipeline_and_service_work_with_every_kind_of_source(
    tmp_path: Path, project: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    options = store_table(kind, tmp_path, request)
    query_option = [] if options.query is None else ["--query", options.query]
    command = ["skline.cli", "init", options.table, "--target", options.target, "--seconds", "0", *query_option]
    run_module(project, *command)
    run_pipeline(project)
    artifact = Artifact.open(project / "artifact", read_digest(project / "artifact.sha256"))
    contract = artifact.contract
    assert contract.input_names == ["x0", "x1", "Farbe: hell", "price"]
    rows = [*artifact.golden.rows[:5], {"x0": 1, "x1": 0.5, "Farbe: hell": "grün", "price": 100.25}]
    responses, _, page = predict(project, rows)
    scores = score_frame(artifact.load_pipeline(), to_frame(contract.inputs, parse_rows(contract, rows)))
    assert scores.probabilities is not None
    assert [output_numbers(response) for response in responses] == scores.probabilities.tolist()
    assert "grün" in page
    lineage = json.loads((project / "reports/lineage.json").read_text())
    assert lineage["rows"] == 300
    assert lineage.get("query") == options.query
    table = tmp_path / "more.csv"
    sample_frame().to_csv(table, index=False)
    run_module(
        project, "skline.cli", "score", str(table), "--out", str(tmp_path / "scores.csv"), *encoding_option(kind)
    )
    assert len(pd.read_csv(tmp_path / "scores.csv")) == 300
    findings = json.loads(run_module(project, "skline.cli", "doctor", "--json").split("\n]\n")[0] + "\n]")
    assert [finding for finding in findings if finding["level"] == "broken"] == []


def encoding_option(kind: str) -> list[str]:
    """Return the option for a CSV file whose encoding is not that of the source."""
    return ["--encoding", "utf-8"] if kind == "utf-16" else []
