"""A project with a real MLflow registry: versions of small artifacts, as `dvc repro` registers them."""

import datetime as dt
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from skline import paths
from skline.artifact import Artifact
from skline.cli import parser
from skline.errors import SklineError
from skline.registry.mlflow_model import mlflow_model_files
from skline.registry.record import RunRecord, open_client, register
from skline.release.registered import RecordedVerdict, RegisteredVersion, record_version
from tests.fixtures import demo
from tests.fixtures.registry import copy_empty_registry

PARAMS = """\
project: {name: demo}
source: {uri: none.csv}
register: {tracking_uri: "%s"}
"""


def registered_version(packaged: demo.Packaged, version: str, tags: Mapping[str, str]) -> RegisteredVersion:
    """Return the line about a version with these tags of the verdict."""
    verdict = RecordedVerdict(
        passed=tags["verdict"] == "passed",
        failed=tuple(filter(None, tags["verdict.failures"].split("; "))),
        undecided=tuple(filter(None, tags["verdict.undecided"].split("; "))),
        champion_sha256=tags["verdict.champion_sha256"] or None,
    ) if tags else None  # fmt: skip
    return RegisteredVersion(
        time=dt.datetime.now(dt.UTC), model="demo", version=version, artifact_sha256=packaged.digest,
        contract_sha256="c" * 64, git_commit=None, verdict=verdict, verdict_sha256=None,
    )  # fmt: skip


@dataclass
class Project:
    """A directory with params.yaml and a registry."""

    folder: Path
    uri: str

    def register(
        self,
        packaged: demo.Packaged,
        fingerprint: str,
        verdict: str | None = "passed",
        champion: str = "",
        undecided: str = "",
        *,
        recorded: bool = True,
    ) -> str:
        """Register an artifact as a version, as the stage `register` does; return its number.

        Without `recorded` only MLflow knows of it.
        """
        verdict_tags = {} if verdict is None else {
            "verdict": verdict, "verdict.failures": "" if verdict == "passed" else "roc_auc",
            "verdict.champion_sha256": champion, "verdict.undecided": undecided,
        }  # fmt: skip
        files = mlflow_model_files(Artifact.open(packaged.folder, packaged.digest), {})
        record = RunRecord(
            fingerprint=fingerprint, md5={}, params={}, metrics={}, tags={"artifact_sha256": packaged.digest},
            dataset={"name": "demo", "digest": "d", "source": "s"}, diff="", verdict=verdict_tags,
            folders={"model/artifact": packaged.folder}, model_files=files,
        )  # fmt: skip
        before = Path.cwd()
        os.chdir(self.folder)  # a sqlite store keeps artifacts in the directory in which it is created
        try:
            with open_client(self.uri, 20) as mlflow_client:
                version = register(mlflow_client, "demo", record).version
            if recorded:
                record_version(paths.REGISTERED, registered_version(packaged, version, verdict_tags))
        finally:
            os.chdir(before)
        return version

    def aliases(self) -> dict[str, str]:
        with open_client(self.uri, 20) as mlflow_client:
            aliases = mlflow_client.get_registered_model("demo").aliases
        return {alias: str(number) for alias, number in aliases.items()}

    def run_process(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the project in a new process."""
        command = [sys.executable, "-m", "skline.cli", *words]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, check=False, timeout=120,
            env=os.environ | {"MLFLOW_TRACKING_URI": self.uri} | environment,
        )  # fmt: skip

    def run(self, *words: str) -> str:
        """Run a command in this process, where MLflow is imported already; return its output."""
        before = Path.cwd()
        os.chdir(self.folder)
        os.environ["MLFLOW_TRACKING_URI"] = self.uri  # MLflow stores the URI that was used last in there
        try:
            with redirect_stdout(io.StringIO()) as printed:
                arguments = parser().parse_args(words)
                arguments.run(arguments)
        finally:
            os.chdir(before)
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        return printed.getvalue()

    def error_of(self, *words: str) -> str:
        """Run a command that must fail; return the message."""
        with pytest.raises(SklineError) as raised:
            self.run(*words)
        return str(raised.value)


def make(folder: Path, uri: str | None = None, **params: str) -> Project:
    """Create a project with an empty registry: in SQLite, or on the server of `uri`."""
    folder.mkdir(parents=True, exist_ok=True)
    if uri is None:
        uri = f"sqlite:///{folder}/mlflow.db"
        copy_empty_registry(folder)
    params.setdefault("release", "{timeout: 60}")  # the test machine may be busy
    sections = "".join(f"{name}: {value}\n" for name, value in params.items())
    (folder / "dvc.yaml").write_text("stages: {}\n")
    (folder / "params.yaml").write_text(PARAMS % uri + sections)
    return Project(folder, uri)
