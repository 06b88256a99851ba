"""A small project without problems, and helpers that change it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skline import engine
from tests.fixtures import demo

CONTRACT = '''"""Columns."""

from skline.contract.table import Table, column


class Inputs(Table):
    """Columns of a request."""

    size: float = column("Size", example=1.0)


class Labelled(Inputs):
    """A row with its price."""

    price: float = column("Price", role="target")
'''
SOURCE = '''"""Columns of the source."""

READS: dict[str, type] = {}


def prepare(source):
    """Keep the table."""
    return source
'''
PIPELINE = '''"""The pipeline."""

from sklearn.dummy import DummyRegressor
from sklearn.pipeline import make_pipeline


def build_pipeline(contract):
    """Predict the mean."""
    return make_pipeline(DummyRegressor())
'''
PARAMS = """project: {name: prices, title: Prices, intended_use: Predicts prices.}
source: {uri: data/source/prices.csv}
validate: {}
split: {}
train: {seed: 1}
evaluate: {}
package: {}
register: {}
"""
PYPROJECT = f"""[project]
name = "prices"
requires-python = ">=3.11"
dependencies = ["joblib>=1.5"]

[dependency-groups]
serving = ["skline[serving]"]
train = ["skline[train]"]
dev = ["pytest>=9"]

[tool.uv]
package = false
default-groups = ["serving", "train", "dev"]

[tool.uv.sources]
skline = {{ path = "{demo.ROOT}", editable = true }}
"""
DVC = "stages:\n  train: {cmd: 'true', params: [train, source], deps: [params.yaml], outs: [model.txt]}\n"


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small project without problems, in git, as the current folder, whose `model` is imported."""
    files = {
        "pyproject.toml": PYPROJECT,
        "params.yaml": PARAMS,
        "dvc.yaml": DVC,
        "src/model/__init__.py": "",
        "src/model/contract.py": CONTRACT,
        "src/model/source.py": SOURCE,
        "src/model/pipeline.py": PIPELINE,
        "data/source/prices.csv": "size,price,other\n1,2,3\n",
        ".dvc/config": "[core]\n    analytics = false\n",
        ".copier-answers.yml": "_commit: v1.0.0\n_src_path: https://example.invalid/skline.git\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    engine.sync(tmp_path / "engine.json")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "src")
    ours = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "model"}
    for name in ours:
        del sys.modules[name]
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "start")
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "model"]:
        del sys.modules[name]
    sys.modules.update(ours)


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def edit(name: str, old: str, new: str) -> None:
    text = Path(name).read_text()
    assert old in text
    write(name, text.replace(old, new))
