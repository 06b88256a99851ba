"""Where the logs are stored: SQLite or PostgreSQL.

A backend is imported when it is opened, so that SQLite works without psycopg.
"""

from skline.logs.settings import LogSettings
from skline.logs.stores.base import Store


def open_store(settings: LogSettings, *, durable: bool = True) -> Store:
    """Connect to the database of the settings, and create its tables if they are missing.

    Parameters
    ----------
    settings : LogSettings
    durable : bool
        Whether a SQLite commit waits until the data is on the disk. If not, a power failure may lose the last
        commits; a crash of the process never does.

    Raises
    ------
    StoreUnavailable
        If the database cannot be reached or written.
    """
    if settings.is_postgres:
        from skline.logs.stores.postgres import PostgresStore

        return PostgresStore(settings.database)
    from skline.logs.stores.sqlite import SqliteStore

    return SqliteStore(settings.database, durable=durable)
