"""A query on MySQL, MariaDB, or any database with a dialect for SQLAlchemy, as a source."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import exc

from skline.errors import SklineError
from skline.settings.source_kinds import MYSQL, kind_of
from skline.sources.source import Snapshot, Stream
from skline.sources.sql import BATCH_ROWS, Database, SqlSource, reject_duplicate_columns, translated_database_errors
from skline.sources.untyped_rows import settled_stream

#: Seconds to wait for a connection to MySQL, and where its clients find user and password.
CONNECT_TIMEOUT, MYSQL_FILE = 10, "~/.my.cnf"


class SqlalchemySource(SqlSource):
    """The result of `source.query` at `DIALECT://HOST/DATABASE`, or `DIALECT+DRIVER://…`."""

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Connect; MySQL and MariaDB in a read-only transaction."""
        is_mysql = kind_of(self.source.uri) is MYSQL
        with translated_sqlalchemy_errors():
            engine = sqlalchemy.create_engine(
                self._url(is_mysql=is_mysql),
                poolclass=sqlalchemy.NullPool,
                connect_args={"connect_timeout": CONNECT_TIMEOUT, "read_default_file": MYSQL_FILE} if is_mysql else {},
            )
            with engine.connect() as connection:
                if is_mysql:
                    connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
                yield SqlalchemyDatabase(connection)

    def _url(self, *, is_mysql: bool) -> sqlalchemy.URL:
        """Return the address with its driver and password."""
        url = sqlalchemy.make_url(self.source.uri)
        if is_mysql:
            url = url.set(drivername=f"{url.drivername}+pymysql")
        variable = self.settings.password_variable
        if variable is None:
            return url
        if variable not in os.environ:
            raise SklineError(f"source.sql.password_variable: the environment has no variable {variable}; set it")
        return url.set(password=os.environ[variable])


class SqlalchemyDatabase(Database):
    """A connection of SQLAlchemy."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self.connection = connection.execution_options(stream_results=True, max_row_buffer=BATCH_ROWS)

    def quote(self, name: str) -> str:
        """Quote a column's name as the dialect does."""
        return self.connection.dialect.identifier_preparer.quote_identifier(name)

    def first_cell(self, statement: str) -> Any:
        """See `Database`."""
        return self._run(statement).scalar()

    @contextmanager
    def rows(self, statement: str, lineage: dict[str, object], snapshot: Snapshot | None) -> Iterator[Stream]:
        """Yield the rows of a server-side cursor, where the driver has one; types fit all values."""
        with closing(self._run(statement)) as result:
            names = list(result.keys())
            reject_duplicate_columns(names)
            batches = (_columns(names, rows) for rows in result.partitions(BATCH_ROWS))
            with settled_stream(batches, lineage, snapshot) as stream:
                yield stream

    def _run(self, statement: str) -> Any:
        """Run a statement as it is: neither : nor % stands for a parameter."""
        return self.connection.execution_options(no_parameters=True).exec_driver_sql(statement)


def _columns(names: Sequence[str], rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Return rows as columns; empty text counts as missing, as in a CSV."""
    return {
        name: [None if value == "" else value for value in cells]
        for name, cells in zip(names, zip(*rows, strict=True), strict=True)
    }


@contextmanager
def translated_sqlalchemy_errors() -> Iterator[None]:
    """Translate errors into a one-line SklineError, without SQLAlchemy's link and without the statement."""
    with translated_database_errors():
        try:
            yield
        except exc.DBAPIError as error:
            raise SklineError(f"source.query: {' '.join(str(error.orig).split())}") from error
        except exc.NoSuchModuleError as error:
            raise SklineError(
                f"source.uri: SQLAlchemy has no dialect for this address ({error}); add the package with it, such as "
                "`uv add --group train snowflake-sqlalchemy`"
            ) from error
        except ModuleNotFoundError as error:
            raise SklineError(
                f"source.uri: the driver {error.name!r} is not installed; add it: `uv add --group train {error.name}`, "
                "or name another one in the address (DIALECT+DRIVER://…)"
            ) from error
        except exc.SQLAlchemyError as error:
            raise SklineError(f"source.query: {' '.join(str(error).split())}") from error
