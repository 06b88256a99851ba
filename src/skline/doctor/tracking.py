"""MLflow: does the store answer. Asked without MLflow, whose import takes longer than all the rest."""

import base64
import contextlib
import os
import socket
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from skline.doctor.finding import Finding
from skline.errors import SklineError
from skline.settings import Settings

#: Seconds to wait at most.
PATIENCE = 2.0
#: Ports of the databases that MLflow may keep its store in.
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
REMEDY = "start it, or correct MLFLOW_TRACKING_URI or register.tracking_uri in params.yaml"


def check() -> list[Finding]:
    """Ask the store that the last stage records results in."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        settings = Settings.load().register_
    except SklineError:
        if uri is None:
            return []  # the check of params.yaml tells
        settings = None
    uri = uri or (settings.tracking_uri if settings else "")
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if scheme == "sqlite":
        return [_sqlite(uri)]
    if scheme in ("http", "https"):
        return [_server(uri)]
    if scheme in PORTS:
        return [_reached(f"{scheme} at {parts.hostname}", parts.hostname or "", parts.port or PORTS[scheme])]
    if scheme in ("", "file"):
        return [Finding("broken", f"MLflow keeps no store in a plain folder ({uri!r})", "use sqlite:///mlflow.db")]
    return [
        Finding("look", f"MLflow's store {scheme}: cannot be asked from here", "see whether `dvc repro` reaches it")
    ]


def _sqlite(uri: str) -> Finding:
    """Open the file and ask it a question."""
    path = Path(uri.split("://", 1)[1].removeprefix("/"))
    if not path.exists():
        return Finding("ok", f"MLflow's store {path} is not there yet; the first result makes it")
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=PATIENCE)
        ) as store:
            runs = store.execute("select count(*) from runs where lifecycle_stage = 'active'").fetchone()[0]
    except sqlite3.Error as error:
        return Finding(
            "broken",
            f"MLflow's store {path} does not answer: {error}",
            "restore it, or move it away and `uv run dvc repro -f register`",
        )
    return Finding("ok", f"MLflow's store {path} has {runs} {'run' if runs == 1 else 'runs'}")


def _server(uri: str) -> Finding:
    """Ask a tracking server for its health, with the name and the key that MLflow would use."""
    parts = urlsplit(uri)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    request = urllib.request.Request(f"{shown}{parts.path.rstrip('/')}/health")  # noqa: S310 (http or https)
    name = parts.username or os.environ.get("MLFLOW_TRACKING_USERNAME")
    if name:
        pair = f"{name}:{parts.password or os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE):  # noqa: S310
            return Finding("ok", f"MLflow at {shown} answers")
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            return Finding("broken", f"MLflow at {shown} lets nobody in without a name and key ({error.code})", remedy)
        return Finding("broken", f"MLflow at {shown} answers {error.code}", REMEDY)
    except OSError as error:
        reason = getattr(error, "reason", error)
        return Finding("broken", f"MLflow at {shown} does not answer within {PATIENCE:g} s: {reason}", REMEDY)


def _reached(name: str, host: str, port: int) -> Finding:
    """Knock at a database."""
    try:
        with socket.create_connection((host, port), timeout=PATIENCE):
            return Finding("ok", f"MLflow's store, {name}, takes connections")
    except OSError as error:
        return Finding("broken", f"MLflow's store, {name}, takes no connection: {error}", REMEDY)
