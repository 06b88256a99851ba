"""The secrets of deploy/compose.yaml: random passwords, and the addresses and files that contain them.

Each container mounts the folder of its own. The folder around them is for its owner only; the files in it can be read
by every user, because the user of a container is another one than the owner.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from skline import api_keys
from skline.files import atomic_write

FOLDER = Path("deploy/secrets")
#: Folders of the project that containers write to; Docker would create missing ones as root.
SHARED_FOLDERS = (Path("logs"), Path("reports/monitor"), Path("releases"), Path("backups"))
#: Databases on the server, each with a role of its name.
DATABASES = ("predictions", "mlflow")


def ensure_secrets(root: Path, new_token: Callable[[], str] = lambda: secrets.token_hex(24)) -> list[Path]:
    """Write the secrets that are missing, and return their paths; existing ones are never changed.

    Parameters
    ----------
    root : Path
        The project.
    new_token : callable
        Returns a random secret of hexadecimal digits, so that it needs no escaping in an address.
    """
    folder = root / FOLDER
    for shared in SHARED_FOLDERS:
        (root / shared).mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    written = _passwords(folder, new_token)
    values = {
        "service/skline_log__database": _address("predictions", folder),
        "service/skline_log__entity_key": secrets.token_hex(32),
        # The driver of the group jobs: without its name SQLAlchemy looks for an older one.
        "mlflow/backend_store_uri": _address("mlflow", folder).replace("postgresql:", "postgresql+psycopg:"),
        "alertmanager/webhook_url": "http://127.0.0.1:9/replace-this",
    }
    if not (folder / "store/s3.json").exists():
        values |= _store(new_token(), new_token())
    written += _write_missing(folder, values)
    written += _ensure_metrics_key(folder)
    return written


def _passwords(folder: Path, new_token: Callable[[], str]) -> list[Path]:
    names = ["postgres/superuser_password", *(f"postgres/{name}_password" for name in DATABASES)]
    return _write_missing(folder, {name: new_token() for name in [*names, "grafana/admin_password"]})


def _address(database: str, folder: Path) -> str:
    password = (folder / f"postgres/{database}_password").read_text(encoding="ascii").strip()
    return f"postgresql://{database}:{password}@postgres:5432/{database}"


def _store(access_key: str, secret_key: str) -> dict[str, str]:
    """Return the files of the object store's key: what the store accepts, and what MLflow sends."""
    identity = {
        "name": "mlflow",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    return {
        "store/s3.json": json.dumps({"identities": [identity]}, indent=2),
        "mlflow/aws_credentials": (
            f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}"
        ),
    }


def _ensure_metrics_key(folder: Path) -> list[Path]:
    """Create the API key with which Prometheus reads /metrics, if there is none."""
    path = folder / "prometheus/skline.key"
    if path.exists():
        return []
    (folder / "keys").mkdir(exist_ok=True)
    _, token = api_keys.add(folder / "keys/keys.json", "prometheus", ["admin"])
    return _write_missing(folder, {"prometheus/skline.key": token})


def _write_missing(folder: Path, values: Mapping[str, str]) -> list[Path]:
    written = []
    for name, value in values.items():
        path = folder / name
        if not path.exists():
            with atomic_write(path, 0o644) as temporary:
                temporary.write_text(f"{value}\n", encoding="ascii")
            written.append(path)
    return written
