"""The workload of the tests: the packaged demo of tests/fixtures."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.load.workload import Workload, prepare
from tests.fixtures import demo


@pytest.fixture(scope="session")
def workloads(packaged: demo.Packaged, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Workload]:
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(packaged.folder, root / "artifact")
    (root / "artifact.sha256").write_text(packaged.digest + "\n")
    (root / "data" / "split").mkdir(parents=True)
    rows = pd.concat([demo.parts()["test"]] * 3)  # the test part of the demo has fewer rows than a batch
    rows.to_parquet(root / "data" / "split" / "test.parquet", index=False)
    return prepare(root, root / "workloads")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "runs"
