"""A table of a web page as a source; robots.txt of the host is obeyed."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.robotparser import RobotFileParser

import pyarrow as pa

from skline.errors import SklineError
from skline.settings.source_http import PageSettings
from skline.sources.html_tables import changed_columns, choose_table, parse_page, read_table
from skline.sources.http import HttpReader, Response, StatusError, default_user_agent, plain_address
from skline.sources.layout import named_columns
from skline.sources.source import Snapshot, Stream, StreamedSource

PREFIX = "page+"
#: Characters of robots.txt that are read; RFC 9309 requires at least 500 KiB.
ROBOTS_LENGTH = 1 << 19


class PageTable(NamedTuple):
    """The table of a page: columns and rows of text, what the lineage records, and the snapshot."""

    columns: list[str]
    rows: list[list[str]]
    lineage: dict[str, object]
    snapshot: Snapshot


class PageSource(StreamedSource):
    """A table in the HTML of `page+https://HOST/PATH`; `source.page` says which one. All cells are text."""

    no_rows = "the table has no rows"

    @property
    def settings(self) -> PageSettings:
        """The section `source.page`."""
        return self.source.page

    @contextmanager
    def stream(self, since: Snapshot | None = None) -> Iterator[Stream]:  # noqa: ARG002 (not incremental)
        """Read the page."""
        table = self._read()
        schema = pa.schema([(name, pa.string()) for name in table.columns])
        batches = []
        if table.rows:
            batches = [pa.record_batch([list(cells) for cells in zip(*table.rows, strict=True)], schema=schema)]
        yield Stream(schema, iter(batches), table.lineage, table.snapshot)

    def snapshot(self) -> Snapshot:
        """Return the digest of the table's names and cells; the rest of the page may change."""
        return self._read().snapshot

    def _read(self) -> PageTable:
        """Read the page; SklineError if it is not allowed, has no such table, or the table has other columns."""
        address = self.source.uri.removeprefix(PREFIX)
        with HttpReader(address, self.settings, "source.page", self.say) as reader:
            check_robots(reader, self.settings.user_agent or default_user_agent())
            response = reader.get(reader.url, accept="text/html")
            try:
                return self._table(response)
            except SklineError as error:
                raise reader.error(response.url, str(error)) from error

    def _table(self, response: Response) -> PageTable:
        page = parse_page(response.body, _declared_encoding(response))
        number, element = choose_table(page, self.settings.table, self.settings.caption)
        table = read_table(number, element, first_is_header=self.source.header)
        width = len(table.rows[0])
        header = table.header() if table.n_header else [""] * width
        columns = named_columns(header, 0, self.source, f"table {number}").names
        if self.settings.columns and (difference := changed_columns(self.settings.columns, columns)):
            raise SklineError(
                f"the columns of table {number} have changed: {difference}; correct src/model and source.page.columns"
            )
        rows = table.rows[table.n_header :]
        digest = hashlib.sha256(json.dumps([columns, rows]).encode()).hexdigest()
        lineage: dict[str, object] = {
            "table": number,
            "columns": columns,
            "page_sha256": hashlib.sha256(response.body).hexdigest(),
        }
        return PageTable(columns, rows, lineage, {"sha256": digest})


def check_robots(reader: HttpReader, user_agent: str) -> None:
    """Raise SklineError if robots.txt of the host does not allow the address, as RFC 9309 says.

    Without the file everything is allowed; a server that fails to respond allows nothing.
    """
    robots = RobotFileParser()
    try:
        response = reader.get(reader.url.join("/robots.txt"), accept="text/plain")
    except StatusError as error:
        if 400 <= error.status < 500:
            return
        raise
    robots.parse(response.body[:ROBOTS_LENGTH].decode("utf-8", "replace").splitlines())
    if not robots.can_fetch(user_agent, str(reader.url)):
        raise SklineError(
            f"{plain_address(response.url)} does not allow {user_agent.partition('/')[0]!r} to read {reader.url.path}; "
            "request the table from the owner of the page"
        )


def _declared_encoding(response: Response) -> str | None:
    """Return the encoding in the header Content-Type."""
    for part in response.headers.get("Content-Type", "").split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.lower() == "charset" and value:
            return str(value.strip("\"'"))
    return None
