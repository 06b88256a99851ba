"""A project whose registry is real: versions of small artifacts in MLflow, as `dvc repro` would leave them."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
            return dict(mlflow_client.get_registered_model("demo").aliases)

    def skline(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the project."""
        command = [sys.executable, "-m", "skline.cli", *words]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, check=False, timeout=120,
            env=os.environ | environment,
        )  # fmt: skip

    def run(self, *words: str, **environment: str) -> str:
        """Run a command that must work; returns what it prints."""
        done = self.skline(*words, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *words: str, **environment: str) -> str:
        """Run a command that must be refused in one line; returns the line."""
        done = self.skline(*words, **environment)
        assert done.returncode == 1, done.stdout
        assert done.stderr.startswith("error: "), done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        return done.stderr


def make(folder: Path, uri: str | None = None, **params: Any) -> Project:
    """Make a project with an empty registry, in SQLite unless a server is named."""
    folder.mkdir(parents=True, exist_ok=True)
    uri = uri or f"sqlite:///{folder}/mlflow.db"
    more = "".join(f"{name}: {value}\n" for name, value in params.items())
    (folder / "params.yaml").write_text(PARAMS % uri + more)
    return Project(folder, uri)
