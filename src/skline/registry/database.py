"""MLflow's database in a local SQLite file: create it, and tell whether it is complete.

MLflow creates its tables by some sixty migrations, which are no transaction and take 5 to 40 seconds. A process that
ends meanwhile leaves a database that MLflow cannot continue ("table secrets already exists"). Therefore the file is
created under another name and renamed when it is complete, and no command with a timeout opens a file that is not.
"""

import contextlib
import re
import sqlite3
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from skline.errors import SklineError
from skline.files import atomic_write

#: Seconds to wait for another process that writes to the database.
BUSY_SECONDS = 1.0
#: The lines of a migration that name it and the one before it; the style is Alembic's.
REVISION = re.compile(r"^(down_)?revision\s*=\s*[\"'](\w+)[\"']", re.MULTILINE)


def sqlite_path(uri: str) -> Path | None:
    """Return the file that an address of SQLAlchemy, such as sqlite:///mlflow.db, names; None if it names none."""
    scheme, _, rest = uri.partition("://")
    name = rest.removeprefix("/").partition("?")[0]
    return Path(name) if scheme.partition("+")[0] == "sqlite" and name not in ("", ":memory:") else None


def create_database(uri: str) -> None:
    """Create the SQLite file that `uri` names, if it does not exist; do nothing for a server.

    Raises
    ------
    SklineError
        If the file exists and is not complete; see `find_problem`.
    """
    path = sqlite_path(uri)
    if path is None:
        return
    if not _has_content(path):
        print(f"creating MLflow's database {path}, once; this takes 5 to 40 seconds …", file=sys.stderr, flush=True)
        import mlflow

        with atomic_write(path) as temporary:
            mlflow.MlflowClient(f"sqlite:///{temporary.absolute()}").search_experiments(max_results=1)
            if _has_content(path):
                raise SklineError(f"another process has created {path} meanwhile; run the command again")
    require_complete(uri)


def require_complete(uri: str) -> None:
    """Raise a SklineError if `uri` names a SQLite file that does not exist or is not complete."""
    path = sqlite_path(uri)
    if path is None:
        return
    if not _has_content(path):
        raise SklineError(
            f"the registry {path} does not exist yet, since git does not carry it: `uv run dvc repro` creates it and "
            "registers the model of this project; a registry that a team shares is a server (MLFLOW_TRACKING_URI)"
        )
    try:
        problem = find_problem(path)
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            return  # another process writes; MLflow waits for it, for as long as its caller's timeout
        raise SklineError(f"the registry {path} cannot be read: {error}; `skline doctor` says what to do") from error
    if problem:
        raise SklineError(f"the registry {path} {problem[0]}; {problem[1]}")


def find_problem(path: Path) -> tuple[str, str] | None:
    """Return what is wrong with the database at `path`, and the remedy; None if it is complete.

    Raises
    ------
    sqlite3.Error
        If it cannot be read.
    """
    address = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as database:
        revision = _first_value(database, "alembic_version", "version_num")
        is_empty = _first_value(database, "experiments", "experiment_id") is None
    known = _migrations()
    head = (set(known) - set(known.values())).pop()
    if revision == head:
        return None
    if is_empty:
        return (
            "is incomplete and holds no result: its creation was interrupted, or is still running",
            f"if no process is creating it, delete it (`rm {path}`) and run `uv run dvc repro -sf register`",
        )
    if revision is not None and revision not in known:
        return (
            f"was made by a newer MLflow (revision {revision})",
            "run `uv sync`: it installs the MLflow that this project needs",
        )
    return (
        f"was made by an older MLflow (revision {revision}, this one needs {head})",
        f"stop the processes that use it, copy it, and run `uv run mlflow db upgrade sqlite:///{path}`",
    )


def _first_value(database: sqlite3.Connection, table: str, column: str) -> Any:
    """Return the first value of a column; None if there is no such table, or no row."""
    if not database.execute("select 1 from sqlite_master where name = ?", (table,)).fetchone():
        return None
    row = database.execute(f"select {column} from {table} limit 1").fetchone()  # noqa: S608 (names of this file)
    return None if row is None else row[0]


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


@cache
def _migrations() -> dict[str, str | None]:
    """Return the revision before each of MLflow's, read from its files: to import MLflow takes a second."""
    spec = find_spec("mlflow")
    if spec is None or not spec.submodule_search_locations:
        raise SklineError("MLflow is not installed; run `uv sync`")
    folder = Path(spec.submodule_search_locations[0], "store", "db_migrations", "versions")
    found = {}
    for file in folder.glob("*.py"):
        names = dict(REVISION.findall(file.read_text(encoding="utf-8")))
        if "" in names:
            found[names[""]] = names.get("down_")
    return found
