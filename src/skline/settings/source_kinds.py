"""The kinds of sources: which addresses belong to each, and what `source` in params.yaml may say about it.

`skline.sources.kinds` names the class that reads each kind. A further kind is one entry here, one there, and its file
in `skline/sources`; if it has settings of its own, a section in `skline.settings.source.Source` as well.
"""

import re
from typing import NamedTuple


class SourceKind(NamedTuple):
    """A kind of source.

    Attributes
    ----------
    name : str
        The key in `skline.sources.kinds.CLASSES`.
    title : str
        What people call it.
    schemes : tuple of str
        Beginnings of `source.uri`.
    has_query : bool
        Whether it is read with a query, `source.query`.
    has_null : bool
        Whether its missing values are nulls, so that no word stands for one.
    section : str or None
        The key of its own settings, such as `sql` for `source.sql`.
    drivers : tuple of str
        The modules that reading it imports.
    extra : str or None
        The extra of skline that installs the drivers.
    is_sparse : bool
        Whether a row may lack columns, so that one of several snapshots may, too.
    """

    name: str
    title: str
    schemes: tuple[str, ...]
    has_query: bool = False
    has_null: bool = False
    section: str | None = None
    drivers: tuple[str, ...] = ()
    extra: str | None = None
    is_sparse: bool = False


#: Paths, `package:NAME/FILE` and all addresses that belong to no other kind.
FILES = SourceKind("files", "files", ())
POSTGRESQL = SourceKind(
    "postgresql",
    "PostgreSQL",
    ("postgresql://", "postgres://"),
    has_query=True,
    has_null=True,
    section="sql",
    drivers=("adbc_driver_postgresql",),
    extra="sql",
)
SQLITE = SourceKind("sqlite", "SQLite", ("sqlite:///",), has_query=True, has_null=True, section="sql")
DUCKDB = SourceKind(
    "duckdb",
    "DuckDB",
    ("duckdb:///",),
    has_query=True,
    has_null=True,
    section="sql",
    drivers=("duckdb",),
    extra="duckdb",
)
MYSQL = SourceKind(
    "mysql",
    "MySQL or MariaDB",
    ("mysql://", "mariadb://"),
    has_query=True,
    has_null=True,
    section="sql",
    drivers=("pymysql",),
    extra="mysql",
)
#: Any other database with a dialect for SQLAlchemy; `DIALECT+DRIVER://` names the driver.
SQLALCHEMY = SourceKind(
    "sqlalchemy",
    "a database of SQLAlchemy",
    ("mssql://", "oracle://", "snowflake://", "bigquery://", "redshift://", "databricks://", "trino://"),
    has_query=True,
    has_null=True,
    section="sql",
)
S3 = SourceKind("s3", "S3", ("s3://", "s3a://"), drivers=("s3fs",), extra="s3")
GS = SourceKind("gs", "Google Cloud Storage", ("gs://", "gcs://"), drivers=("gcsfs",), extra="gs")
AZ = SourceKind("az", "Azure Storage", ("az://", "abfs://", "abfss://"), drivers=("adlfs",), extra="az")
#: A plain https:// address is that of a file; what is read otherwise says so before a plus sign.
REST = SourceKind(
    "rest",
    "a REST API",
    ("rest+https://", "rest+http://"),
    has_null=True,
    section="rest",
    drivers=("httpx",),
    extra="rest",
)
PAGE = SourceKind(
    "page", "a web page", ("page+https://", "page+http://"), section="page", drivers=("httpx", "lxml"), extra="web"
)
KAFKA = SourceKind(
    "kafka",
    "a Kafka topic",
    ("kafka://",),
    has_null=True,
    section="kafka",
    drivers=("confluent_kafka", "fastavro"),
    extra="kafka",
    is_sparse=True,
)
DELTA = SourceKind(
    "delta",
    "Delta Lake",
    ("delta:///", "delta+s3://", "delta+s3a://", "delta+gs://", "delta+az://", "delta+abfs://", "delta+abfss://"),
    has_null=True,
    section="lake",
    drivers=("deltalake",),
    extra="delta",
)
ICEBERG = SourceKind(
    "iceberg", "Iceberg", ("iceberg://",), has_null=True, section="lake", drivers=("pyiceberg",), extra="iceberg"
)
DIALECT_AND_DRIVER = re.compile(r"[a-z0-9]+\+[a-z0-9_]+://")
KINDS = (POSTGRESQL, SQLITE, DUCKDB, MYSQL, SQLALCHEMY, S3, GS, AZ, DELTA, ICEBERG, REST, PAGE, KAFKA, FILES)


def kind_of(uri: str) -> SourceKind:
    """Return the kind of source that an address belongs to."""
    default = SQLALCHEMY if DIALECT_AND_DRIVER.match(uri) else FILES
    return next((kind for kind in KINDS if uri.startswith(kind.schemes)), default)
