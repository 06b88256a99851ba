"""MLflow's database in a file: it is complete or it is not there, and commands with a timeout open no other."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from skline.errors import SklineError
from skline.registry.database import create_database, find_problem, require_complete, sqlite_path
from skline.registry.versions import Registry
from tests.fixtures.registry import copy_empty_registry
from tests.skline.registry.halfway import create_first_tables

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:///mlflow.db", Path("mlflow.db")),
        ("sqlite:////srv/mlflow.db", Path("/srv/mlflow.db")),
        ("sqlite+pysqlite:///mlflow.db?timeout=5", Path("mlflow.db")),
        ("sqlite:///:memory:", None),
        ("https://mlflow.example.org", None),
        ("postgresql://user@host/mlflow", None),
    ],
)
def test_only_an_address_of_sqlite_names_a_file(uri: str, path: Path | None) -> None:
    assert sqlite_path(uri) == path


def test_a_clone_without_a_registry_creates_none_and_says_how_to_get_one(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", "demo", timeout=6, download_seconds=6)
    with pytest.raises(SklineError, match="does not exist yet.*`uv run dvc repro` creates it"):
        registry.find("3")
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_was_created_halfway_is_rejected_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    create_first_tables(path)
    for open_it in (create_database, require_complete):
        with pytest.raises(SklineError, match="is incomplete and holds no result.*delete it"):
            open_it(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("revision", "problem"), [("451aebb31d03", "made by an older MLflow"), ("ffffffffffff", "made by a newer MLflow")]
)
def test_a_database_of_another_mlflow_is_not_called_incomplete(tmp_path: Path, revision: str, problem: str) -> None:
    copy_empty_registry(tmp_path)
    path = tmp_path / "mlflow.db"
    assert find_problem(path) is None
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("update alembic_version set version_num = ?", (revision,))
    with pytest.raises(SklineError, match=problem):
        require_complete(f"sqlite:///{path}")


def test_a_file_that_is_no_database_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_text("x" * 4096)
    with pytest.raises(SklineError, match=f"{path} cannot be read"):
        require_complete(f"sqlite:///{path}")


@pytest.mark.slow
def test_a_creation_that_is_killed_leaves_no_database_and_the_next_one_completes_it(tmp_path: Path) -> None:
    code = "from skline.registry.database import create_database; create_database('sqlite:///mlflow.db')"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=dict(os.environ))
    try:
        # Its name has no hyphen, which the name of SQLite's journal has, a file that comes and goes.
        while sum(file.stat().st_size for file in tmp_path.glob(".mlflow.db.*") if "-" not in file.name) < 200_000:
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert not (tmp_path / "mlflow.db").exists()
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=300)
    assert find_problem(tmp_path / "mlflow.db") is None
