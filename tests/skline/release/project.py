"""A project whose registry is real: versions of small artifacts in MLflow, as `dvc repro` would leave them."""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from skline.cli import parser
from skline.errors import SklineError
from skline.registry import Result, client, register
from tests import demo

PARAMS = """\
project: {name: demo}
source: {uri: none.csv}
register: {tracking_uri: "%s"}
"""


@dataclass
class Project:
    """A directory with params.yaml and a registry."""

    folder: Path
    uri: str

    def register(self, packaged: demo.Packaged, mark: str, verdict: str | None = "passed", against: str = "") -> str:
        """Record an artifact as a version, as the stage `register` does; returns its number."""
        judged = {} if verdict is None else {
            "verdict": verdict, "verdict.failures": "" if verdict == "passed" else "roc_auc",
            "verdict.champion_sha256": against,
        }  # fmt: skip
        result = Result(
            fingerprint=mark, md5={}, params={}, metrics={}, tags={"artifact_sha256": packaged.digest},
            dataset={"name": "demo", "digest": "d", "source": "s"}, folders=(packaged.folder,), diff="", verdict=judged,
        )  # fmt: skip
        before = Path.cwd()
        os.chdir(self.folder)  # a sqlite store keeps artifacts beside where it is made
        try:
            with client(self.uri, 20) as mlflow_client:
                return register(mlflow_client, "demo", result).version
        finally:
            os.chdir(before)

    def aliases(self) -> dict[str, str]:
        with client(self.uri, 20) as mlflow_client:
            there = mlflow_client.get_registered_model("demo").aliases
        return {alias: str(number) for alias, number in there.items()}

    def process(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the project as a process."""
        command = [sys.executable, "-m", "skline.cli", *words]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, check=False, timeout=120,
            env=os.environ | {"MLFLOW_TRACKING_URI": self.uri} | environment,
        )  # fmt: skip

    def run(self, *words: str) -> str:
        """Run a command here, where MLflow is imported already; returns what it prints."""
        before = Path.cwd()
        os.chdir(self.folder)
        os.environ["MLFLOW_TRACKING_URI"] = self.uri  # MLflow itself leaves there what it was last told
        try:
            with redirect_stdout(io.StringIO()) as printed:
                arguments = parser().parse_args(words)
                arguments.carry_out(arguments)
        finally:
            os.chdir(before)
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        return printed.getvalue()

    def refused(self, *words: str) -> str:
        """Run a command that must be refused; returns why."""
        with pytest.raises(SklineError) as refused:
            self.run(*words)
        return str(refused.value)


@cache
def _empty_registry() -> Path:
    """A registry with its tables and nothing in them; making them takes seconds."""
    path = Path(tempfile.mkdtemp()) / "mlflow.db"
    with client(f"sqlite:///{path}", 60) as mlflow_client:
        mlflow_client.search_registered_models()
    return path


def make(folder: Path, uri: str | None = None, **params: str) -> Project:
    """Make a project with an empty registry, in SQLite unless a server is named."""
    folder.mkdir(parents=True, exist_ok=True)
    if uri is None:
        uri = f"sqlite:///{folder}/mlflow.db"
        shutil.copy(_empty_registry(), folder / "mlflow.db")
    params.setdefault("release", "{timeout: 60}")  # the machine of the tests may be busy
    more = "".join(f"{name}: {value}\n" for name, value in params.items())
    (folder / "params.yaml").write_text(PARAMS % uri + more)
    return Project(folder, uri)
