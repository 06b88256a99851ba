"""The layout of the logs: tables, columns, its version, and the migrations from older versions.

The same definition serves SQLite, PostgreSQL and the sealed Parquet files. The columns of `predictions` are the fields
of `skline.logs.records.Prediction`. To change the layout, change the columns, raise `SCHEMA_VERSION` and add one entry
to `MIGRATIONS`; never edit an entry that was released.
"""

from dataclasses import dataclass, field
from typing import Literal

from skline.logs.records import Prediction
from skline.logs.rejections import RejectedCount

TableName = Literal["predictions", "labels", "skline_rejected_requests"]

#: Version of the layout that this code reads and writes.
SCHEMA_VERSION = 5
#: Version of a layout without `VERSION_TABLE`, which is how the logs were stored before versions existed.
UNVERSIONED = 1
#: Table with a row for each version to which this code brought the database. A more general name could be that of
#: another application in the same PostgreSQL database.
VERSION_TABLE = "skline_log_schema"

#: Columns by table, with types that SQLite and PostgreSQL both accept. The first column is the key. inputs, prediction,
#: probabilities, lookups and label are JSON text: numbers keep their last bit, and a column takes every kind of target.
#: The names are used in SQL unquoted.
TABLES: dict[TableName, dict[str, str]] = {
    "predictions": dict.fromkeys(Prediction._fields, "TEXT")
    | dict.fromkeys(("time", "latency_us", "event_time", "review", "bucket"), "BIGINT"),
    "labels": {
        "label_id": "TEXT",
        "time": "BIGINT",
        "prediction_id": "TEXT",
        "entity": "TEXT",
        "event_time": "BIGINT",
        "label": "TEXT",
    },
    # As VERSION_TABLE, it has a name that is no other application's.
    "skline_rejected_requests": dict.fromkeys(RejectedCount._fields, "TEXT")
    | dict.fromkeys(("time", "requests", "row_count"), "BIGINT"),
}

#: Indexes by name, with the table, and what is indexed. With those of reviews, the predictions that wait for review are
#: found without reading all predictions, and without comparing each with every label.
INDEXES: dict[str, tuple[TableName, str]] = {
    "predictions_time": ("predictions", "(time)"),
    "labels_time": ("labels", "(time)"),
    "predictions_review": ("predictions", "(seq) WHERE review > 0"),
    "labels_prediction": ("labels", "(prediction_id)"),
    "skline_rejected_requests_time": ("skline_rejected_requests", "(time)"),
}

#: Columns of the unversioned layout; tables with other columns belong to another application.
UNVERSIONED_COLUMNS: dict[TableName, frozenset[str]] = {
    "predictions": frozenset(
        {
            "prediction_id",
            "time",
            "model_version",
            "artifact_digest",
            "path",
            "inputs",
            "prediction",
            "probabilities",
            "latency_us",
            "request_id",
            "entity",
            "event_time",
            "review",
            "role",
            "experiment",
            "arm",
            "bucket",
        }
    ),
    "labels": frozenset({"label_id", "time", "prediction_id", "entity", "event_time", "label"}),
}


@dataclass(frozen=True)
class Migration:
    """The changes from one schema version to the next.

    Attributes
    ----------
    statements : tuple of (table, str)
        SQL for both databases, run in order in one transaction; those of a table that does not exist are skipped.
    renamed_columns : dict of str to str
        Columns of `predictions` that have a new name, by their old one, for the sealed files.
    added_columns : tuple of str
        Columns of `predictions` that sealed files of older versions lack; they are null there.
    """

    statements: tuple[tuple[TableName, str], ...]
    renamed_columns: dict[str, str] = field(default_factory=dict)
    added_columns: tuple[str, ...] = ()


#: Migrations by the version that they lead to.
MIGRATIONS: dict[int, Migration] = {
    # The column holds how a row was scored, and could be taken for the path of a URL.
    2: Migration(
        statements=(("predictions", "ALTER TABLE predictions RENAME COLUMN path TO scoring_path"),),
        renamed_columns={"path": "scoring_path"},
    ),
    3: Migration(
        statements=(
            ("predictions", "CREATE INDEX predictions_review ON predictions (seq) WHERE review > 0"),
            ("labels", "CREATE INDEX labels_prediction ON labels (prediction_id)"),
        ),
    ),
    4: Migration(statements=()),  # skline_rejected_requests, which is created like any table that is missing
    5: Migration(
        statements=(("predictions", "ALTER TABLE predictions ADD COLUMN lookups TEXT"),),
        added_columns=("lookups",),
    ),
}


def migrations_since(version: int) -> list[Migration]:
    """Return the migrations from `version` to `SCHEMA_VERSION`, in order."""
    return [MIGRATIONS[step] for step in range(version + 1, SCHEMA_VERSION + 1)]
