"""Check of MLflow: its store is reachable. MLflow is not imported, since that takes longer than all checks together."""

import base64
import contextlib
import os
import socket
import sqlite3
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from skline.addresses import INVALID_HOST, has_valid_host
from skline.doctor.findings import Finding
from skline.errors import SklineError
from skline.registry.database import find_problem, sqlite_path
from skline.settings import Settings

TIMEOUT_SECONDS = 2.0
#: Default ports of the databases that can hold MLflow's store.
DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
REMEDY = "start it, or correct MLFLOW_TRACKING_URI or register.tracking_uri in params.yaml"


def check() -> list[Finding]:
    """Check the store in which the last stage records its results."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        settings = Settings.load().register_
    except SklineError:
        if uri is None:
            return []  # reported by the check of params.yaml
        settings = None
    return [_check_store(uri or (settings.tracking_uri if settings else ""))]


def _check_store(uri: str) -> Finding:
    if not has_valid_host(uri):
        return Finding("broken", f"MLflow's store: {INVALID_HOST}", REMEDY)
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if scheme == "sqlite":
        return _check_sqlite(uri)
    if scheme in ("http", "https"):
        return _check_server(uri)
    if scheme in DATABASE_PORTS:
        port = parts.port or DATABASE_PORTS[scheme]
        return _check_connection(f"{scheme} at {parts.hostname}", parts.hostname or "", port)
    if scheme in ("", "file"):
        message = f"MLflow does not support a plain folder as its store ({uri!r})"
        return Finding("broken", message, "use sqlite:///mlflow.db")
    message = f"MLflow's store has the scheme {scheme}:, which this command cannot check"
    return Finding("warning", message, "check that `dvc repro` reaches it")


def _check_sqlite(uri: str) -> Finding:
    path = sqlite_path(uri)
    if path is None:
        return Finding("broken", f"MLflow's store {uri} is in memory, where nothing lasts", "use sqlite:///mlflow.db")
    if not path.exists():
        return Finding("ok", f"MLflow's store {path} does not exist yet; the first result creates it")
    try:
        if problem := find_problem(path):
            return Finding("broken", f"MLflow's store {path} {problem[0]}", problem[1])
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=TIMEOUT_SECONDS)
        ) as store:
            runs = store.execute("select count(*) from runs where lifecycle_stage = 'active'").fetchone()[0]
    except sqlite3.Error as error:
        remedy = "restore it, or move it away and `uv run dvc repro -sf register`"
        return Finding("broken", f"MLflow's store {path} cannot be read: {error}", remedy)
    return Finding("ok", f"MLflow's store {path} has {runs} {'run' if runs == 1 else 'runs'}")


def _check_server(uri: str) -> Finding:
    """Request the health of a tracking server, with the credentials that MLflow would use."""
    parts = urlsplit(uri)
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # without credentials
    request = urllib.request.Request(f"{address}{parts.path.rstrip('/')}/health")  # noqa: S310 (http or https)
    username = parts.username or os.environ.get("MLFLOW_TRACKING_USERNAME")
    if username:
        credentials = f"{username}:{parts.password or os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310
            return Finding("ok", f"MLflow at {address} responds")
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            return Finding("broken", f"MLflow at {address} rejects the credentials ({error.code})", remedy)
        return Finding("broken", f"MLflow at {address} responds with status {error.code}", REMEDY)
    except OSError as error:
        reason = getattr(error, "reason", error)
        return Finding(
            "broken", f"MLflow at {address} cannot be reached within {TIMEOUT_SECONDS:g} s: {reason}", REMEDY
        )


def _check_connection(database: str, host: str, port: int) -> Finding:
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_SECONDS):
            return Finding("ok", f"MLflow's store, {database}, accepts connections")
    except OSError as error:
        return Finding("broken", f"MLflow's store, {database}, accepts no connection: {error}", REMEDY)
