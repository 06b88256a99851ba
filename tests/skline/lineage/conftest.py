"""A project with a released artifact, and the log that a real service wrote with it."""

import datetime as dt
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from skline.contract.frames import to_json_rows
from skline.lineage.artifacts import ArtifactStore
from skline.logs import maintenance
from skline.logs.settings import LogSettings
from skline.release.registered import RecordedVerdict, RegisteredVersion, record_version
from skline.release.store import ReleaseStore
from skline.testing.rows import random_rows
from tests.fixtures import demo
from tests.fixtures.service import logged_rows, service_with_log

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
ONE_DAY_US = 86_400_000_000


@dataclass
class Project:
    """A folder with releases and a log, and the ids of the logged predictions by how they were asked for."""

    folder: Path
    packaged: demo.Packaged
    ids: dict[str, list[str]]

    @property
    def log(self) -> LogSettings:
        return LogSettings(database=str(self.folder / "log.db"), partitions=self.folder / "days")

    @property
    def store(self) -> ArtifactStore:
        releases = ReleaseStore(self.folder / "releases")
        return ArtifactStore(releases, (self.folder / "artifact",), self.folder / "artifact.sha256")

    def change(self, prediction_id: str, **columns: str) -> None:
        """Change columns of a logged prediction."""
        for column, value in columns.items():
            self.execute(f"UPDATE predictions SET {column} = ? WHERE prediction_id = ?", value, prediction_id)  # noqa: S608

    def execute(self, sql: str, *parameters: Any) -> None:
        """Change the log in a way that skline never does."""
        with closing(sqlite3.connect(self.log.database)) as connection, connection:
            connection.execute(sql, parameters)


def register(store: ArtifactStore, packaged: demo.Packaged, **fields: Any) -> None:
    """Record an artifact as a registered version, and copy it to the released ones."""
    defaults: dict[str, Any] = {
        "time": NOW,
        "model": "demo",
        "version": "3",
        "artifact_sha256": packaged.digest,
        "contract_sha256": "c" * 64,
        "git_commit": None,
        "verdict": RecordedVerdict(passed=True, undecided=("worst segment",)),
        "verdict_sha256": None,
    }
    record_version(store.releases.registered, RegisteredVersion(**defaults | fields))
    shutil.copytree(packaged.folder, store.releases.artifacts / packaged.digest, dirs_exist_ok=True)


def json_rows(count: int) -> list[dict[str, Any]]:
    """Return rows as a client sends them, some of them with missing values."""
    contract = demo.contract()
    rows: list[dict[str, Any]] = to_json_rows(contract.inputs, random_rows(contract, count))
    return rows


@pytest.fixture(scope="session")
def logged(packaged: demo.Packaged, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A log with single predictions and two batches by a real service; one of these is sealed as of yesterday."""
    folder = tmp_path_factory.mktemp("lineage")
    rows, ids = json_rows(60), {}
    with service_with_log(packaged, folder) as client:

        def predict_batch(part: list[dict[str, Any]]) -> list[str]:
            predictions = client.post("/predict/batch", json=part).raise_for_status().json()["predictions"]
            return [prediction["prediction_id"] for prediction in predictions]

        ids["sealed"] = predict_batch(rows[:30])
        ids["batch"] = predict_batch(rows[30:50])
        ids["single"] = [client.post("/predict", json=row).json()["prediction_id"] for row in rows[50:]]
        logged_rows(folder, 60)
        first = ids["sealed"][0]
        client.post("/labels", json=[{"prediction_id": first, "label": False}]).raise_for_status()
        client.post("/labels", json=[{"prediction_id": first, "label": True}]).raise_for_status()
    project = Project(folder, packaged, ids)
    sql = "UPDATE predictions SET time = time - ? WHERE prediction_id IN (SELECT value FROM json_each(?))"
    project.execute(sql, ONE_DAY_US, json.dumps(ids["sealed"]))
    assert sum(maintenance.seal(project.log).values()) == 30
    register(project.store, packaged)
    return project


@pytest.fixture
def project(logged: Project, tmp_path: Path) -> Project:
    """A copy of the project, which a test may change."""
    shutil.copytree(logged.folder, tmp_path / "project")
    return Project(tmp_path / "project", logged.packaged, logged.ids)
