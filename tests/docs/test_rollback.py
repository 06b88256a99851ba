"""The commands of docs/runbook.md that roll back do so: table, parameters, settings, and the schema of the log."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from skline.logs import schema
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from tests.fixtures.demo import ROOT
from tests.fixtures.small_project import commit, make_project, run
from tests.skline.logs.conftest import load_layout

HERE = Path(sys.prefix)


def commands_of(what: str) -> list[str]:
    """Return the commands in the runbook's row about something, as they are run without uv."""
    text = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    [row] = re.findall(rf"^\| {what} \| (.*)\|$", text, re.M)
    return [command.replace("uv run ", "") for command in re.findall(r"`([^`]+)`", row) if " " in command]


def run_command(folder: Path, command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    return run(folder, HERE, "bash", "-c", command, check=check, **variables)


@pytest.mark.slow
def test_table_and_parameters_of_a_revision_give_its_model_again(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    run(project, HERE, "dvc", "repro")
    commit(project, "a model")
    before = (project / "artifact.sha256").read_text()
    table = project / "data/source/flights.csv"
    original = table.read_bytes()
    table.write_bytes(b"".join(original.splitlines(keepends=True)[:-20]))
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["train"]["params"]["model__max_iter"] = 10
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    run(project, HERE, "dvc", "repro")
    commit(project, "another model")
    assert (project / "artifact.sha256").read_text() != before
    checkout, *then = commands_of("the table")
    assert then == ["dvc repro"]
    [restore] = commands_of("parameters")
    for command in (checkout, restore):
        run_command(project, command.replace("REVISION", "HEAD~1"))
    assert table.read_bytes() == original
    done = run_command(project, then[0])
    assert (project / "artifact.sha256").read_text() == before
    assert "Running stage 'train'" not in done.stdout, "DVC has kept the results of the earlier inputs"


def test_check_says_which_settings_are_in_force(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    [command] = commands_of("settings of the service")
    for rows in ("50", "100"):
        done = run_command(project, command, check=False, SKLINE_MAX_BATCH_ROWS=rows)
        assert f"SKLINE_MAX_BATCH_ROWS = {rows}\n" in done.stdout, done.stdout + done.stderr


def state_of(database: Path) -> tuple[int, int]:
    """Return the schema version of a log, and the number of its predictions."""
    with closing(sqlite3.connect(database)) as connection:
        [version] = connection.execute("SELECT max(version) FROM skline_log_schema").fetchone()
        [rows] = connection.execute("SELECT count(*) FROM predictions").fetchone()
    return version, rows


def test_copy_of_the_log_from_before_an_upgrade_has_the_earlier_schema(tmp_path: Path) -> None:
    settings = LogSettings(database=str(tmp_path / "logs/predictions.db"), partitions=tmp_path / "logs/predictions")
    earlier = schema.SCHEMA_VERSION - 1
    load_layout(settings, earlier)
    copy, swap = (command for command in commands_of("the schema of the log") if "logs/" in command)
    with closing(sqlite3.connect(settings.database)) as service:  # which has the database open
        service.execute("SELECT count(*) FROM predictions").fetchone()
        run_command(tmp_path, copy)
    open_store(settings).close()
    assert state_of(Path(settings.database)) == (schema.SCHEMA_VERSION, 2)
    run_command(tmp_path, swap)
    assert state_of(Path(settings.database)) == (earlier, 2)
    assert state_of(tmp_path / "logs/newer/predictions.db") == (schema.SCHEMA_VERSION, 2)
