"""Choose how a source is read, by its address."""

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skline.errors import SklineError
from skline.settings.source import Source
from skline.settings.source_kinds import SourceKind, kind_of
from skline.sources.source import TableSource
from skline.sources.tables import Say, say_nothing

#: Name of a kind (`skline.settings.source_kinds`) → module and class that read it; a module is imported when used.
CLASSES = {
    "az": ("skline.sources.objects", "ObjectSource"),
    "gs": ("skline.sources.objects", "ObjectSource"),
    "s3": ("skline.sources.objects", "ObjectSource"),
    "delta": ("skline.sources.delta", "DeltaSource"),
    "iceberg": ("skline.sources.iceberg", "IcebergSource"),
    "kafka": ("skline.sources.kafka", "KafkaSource"),
    "files": ("skline.sources.files", "FileSource"),
    "page": ("skline.sources.page", "PageSource"),
    "postgresql": ("skline.sources.postgresql", "PostgresqlSource"),
    "duckdb": ("skline.sources.duckdb", "DuckdbSource"),
    "mysql": ("skline.sources.sqlalchemy", "SqlalchemySource"),
    "rest": ("skline.sources.rest", "RestSource"),
    "sqlalchemy": ("skline.sources.sqlalchemy", "SqlalchemySource"),
    "sqlite": ("skline.sources.sqlite", "SqliteSource"),
}


def table_source(source: Source, say: Say = say_nothing) -> TableSource:
    """Return the source as an object that can be opened.

    Parameters
    ----------
    source : Source
        The section `source` of params.yaml.
    say : function of a text, optional
        Gets what a person should know about how the table is read.

    Raises
    ------
    SklineError
        If the driver of this kind is not installed; nothing is read or connected yet.
    """
    kind = kind_of(source.uri)
    require_drivers(kind)
    module, name = CLASSES[kind.name]
    chosen: TableSource = getattr(importlib.import_module(module), name)(source, say)
    return chosen


@contextmanager
def local_table(source: Source) -> Iterator[Path]:
    """Yield a local path to the table of a source; what is not a local file is a temporary one, deleted afterwards.

    Raises
    ------
    SklineError
        If the table cannot be read; see `TableSource.local`.
    """
    with table_source(source).local() as table:
        yield table.path


def missing_drivers(kind: SourceKind) -> list[str]:
    """Return the modules that a kind imports and that are not installed."""
    return [name for name in kind.drivers if importlib.util.find_spec(name) is None]


def require_drivers(kind: SourceKind) -> None:
    """Raise SklineError if a driver is not installed; it says how to install it."""
    if missing_drivers(kind):
        raise SklineError(f"reading from {kind.title} needs its driver: `{install_command(kind)}`")


def install_command(kind: SourceKind) -> str:
    """Return the command that adds the drivers of a kind to a project."""
    return f"uv add --group train 'skline[{kind.extra}]'"
