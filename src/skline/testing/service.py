"""The project's own service, as a process on loopback, and checks of its predictions."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skline import api_keys, paths
from skline.artifact import Artifact, InvalidArtifact, read_digest
from skline.comparison import compare, sample_rows
from skline.errors import SklineError
from skline.loading import load
from skline.testing.rows import invalid_rows

if TYPE_CHECKING:
    import httpx

#: A model that takes longer to load is not waited for.
START_SECONDS = 120
STOP_SECONDS = 30


@contextmanager
def service(**settings: str) -> "Iterator[httpx.Client]":
    """Run `skline serve` with the project's serving/app.py and its packaged artifact; yield a client once it is ready.

    It is a process on a free port of loopback. Its prediction log is in a temporary folder, it has no rate limit, and
    the client has an API key with all scopes. `SKLINE_` variables of the environment do not apply.

    Parameters
    ----------
    settings
        Settings of the service by name, without the prefix: `REVIEW__SAMPLE="0.1"`.

    Raises
    ------
    SklineError
        If `artifact` is not the model that artifact.sha256 names, or the service does not start.
    """
    import httpx

    digest = read_digest(paths.ARTIFACT_DIGEST)
    try:
        Artifact.open(paths.ARTIFACT, digest)
    except InvalidArtifact as error:
        raise SklineError(
            f"{error}. After a change of the commit, `dvc checkout` or `dvc pull` gets its artifact, and `dvc repro` "
            "makes it"
        ) from None
    with tempfile.TemporaryDirectory(prefix="skline-service-") as name:
        folder = Path(name)
        _, key = api_keys.add(folder / "keys.json", "tests", api_keys.SCOPES)
        port = _free_port()
        command = [sys.executable, "-m", "skline.cli", "serve", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--artifact", str(paths.ARTIFACT), "--digest", digest]
        log = folder / "service.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                command, stdout=output, stderr=subprocess.STDOUT, env=_environment(folder, settings)
            )
        headers = {"X-API-Key": key}
        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=60
            ) as client:
                _wait_until_ready(client, process, log)
                yield client
        finally:
            _stop(process)


def check_predictions(client: "httpx.Client", n_rows: int = 1_000, n_single: int = 50) -> None:
    """Assert that the service predicts what the packaged pipeline predicts.

    That is the same bits, or within 64 units in the last place where the artifact's exactness is `ulp`.

    Parameters
    ----------
    client : httpx.Client
        Of `service`.
    n_rows, n_single : int
        Rows that are sent in batches, and rows that are sent one by one: of the live or test part, with golden rows.
    """

    def post(path: str, body: Any) -> Any:
        response = client.post(path, json=body)
        if response.status_code != 200:
            raise AssertionError(f"POST {path} returns {response.status_code}: {response.text[:500]}")
        return response.json()

    model = load(paths.ARTIFACT)
    for rows, one_by_one in ((n_rows, False), (n_single, True)):
        result = compare(post, model, sample_rows(model, rows), one_by_one=one_by_one)
        if result.different:
            raise AssertionError(f"{result.different} of {result.rows} predictions differ: {result.first}")


def check_rejections(client: "httpx.Client") -> None:
    """Assert that the service rejects every invalid row of the contract with a 422 that names the field."""
    for invalid in invalid_rows(load(paths.ARTIFACT).contract):
        response = client.post("/predict", json=invalid.row)
        if response.status_code != 422:
            raise AssertionError(
                f"a row whose {invalid.field} is not {invalid.rule} gets {response.status_code}, not 422: {invalid.row}"
            )
        fields = {detail["loc"][1] for detail in response.json()["detail"] if len(detail["loc"]) > 1}
        if fields != {invalid.field}:
            raise AssertionError(f"the 422 for an invalid {invalid.field} names {fields}: {response.text[:500]}")


def _environment(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the service: the caller's, with these settings and no others."""
    own = {
        "LIMITS__RATE": "off",
        "LOG__DATABASE": str(folder / "predictions.db"),
        "LOG__PARTITIONS": str(folder / "predictions"),
        "LOGGING__FORMAT": "text",
        "SECURITY__KEY_FILE": str(folder / "keys.json"),
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("SKLINE_")}
    return others | {f"SKLINE_{name}": value for name, value in (own | dict(settings)).items()}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_until_ready(client: "httpx.Client", process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the model is loaded; SklineError with the end of the log if the service ends or never is ready."""
    import httpx

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass  # it does not listen yet
        time.sleep(0.05)
    state = "is not ready" if process.poll() is None else f"ended with status {process.returncode}"
    raise SklineError(f"`skline serve` {state}:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
