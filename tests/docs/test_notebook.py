"""Test of docs/notebook.py: every cell runs, and shows what it says."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from skline.loading import Model
from tests.fixtures import demo
from tests.skline.release.project import Project, make

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def code_cells(notebook: Path) -> list[str]:
    """Return the code of each cell."""
    cells = re.split(r"^# %%(.*)\n", notebook.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [code for kind, code in zip(cells[::2], cells[1::2], strict=True) if "[markdown]" not in kind]


def run_cell(code: str, names: dict[str, Any]) -> Any:
    """Run a cell; return the value of its last expression, which a notebook shows."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)  # noqa: S102
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307


@pytest.fixture
def project(
    tmp_path: Path, packaged: demo.Packaged, other_packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    """A project with an artifact and two registered versions, as the current folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = make(tmp_path / "project")
    project.register(other_packaged, "1")
    project.register(packaged, "2")
    (project.folder / "dvc.yaml").write_text("stages: {}\n")
    (project.folder / "artifact").symlink_to(packaged.folder)
    (project.folder / "artifact.sha256").write_text(packaged.digest + "\n")
    monkeypatch.chdir(project.folder)
    yield project
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow stores the URI that was used last in there


def test_every_cell_runs(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    shown = [run_cell(code, names) for code in code_cells(demo.ROOT / "docs/notebook.py")]
    model, predicted, error, explained, metrics, changes = shown
    assert isinstance(model, Model)
    assert model.version in model._repr_html_()
    assert {"prediction", "probability_true"} <= {*predicted.columns}
    assert error is None
    assert capsys.readouterr().out.startswith("row 1: flight_date: Input should be a date")
    assert "contribution_distance" in explained.index
    assert list(metrics.columns) == [names["older"].version, names["newer"].version]
    assert names["newer"].version == model.version != names["older"].version
    assert isinstance(changes, pd.DataFrame)
    assert changes["change"].abs().max() > 0
