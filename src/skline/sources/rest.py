"""A REST API as a source: JSON objects, page by page, are the rows."""

import datetime as dt
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from skline.errors import SklineError
from skline.settings.source_http import RestSettings, Since
from skline.sources.http import HttpReader, Response
from skline.sources.object_cells import cell_text, columns_of, flat
from skline.sources.pagination import ABSENT, Pager, PageResponse, Position, find, json_type
from skline.sources.source import Snapshot, Stream, StreamedSource
from skline.sources.untyped_rows import BATCH_ROWS, TYPES, settled_stream, settled_type, value_kind

PREFIX = "rest+"
#: Characters of a response, or of a cell, that a message shows.
SHOWN = 60
Row = dict[str, Any]


class RestSource(StreamedSource):
    """The rows of an API at `rest+https://HOST/PATH`; `source.rest` says where they are, and how pages follow."""

    no_rows = "the API returned no rows; check source.rest.query"

    @property
    def settings(self) -> RestSettings:
        """The section `source.rest`."""
        return self.source.rest

    @property
    def since(self) -> Since | None:
        """How new rows are requested, if they are."""
        return self.settings.since if self.source.mode == "append" else None

    @property
    def incremental(self) -> bool:
        """Whether rows above a watermark can be requested."""
        return self.since is not None

    @contextmanager
    def stream(self, since: Snapshot | None = None) -> Iterator[Stream]:
        """Read all pages, then settle the types."""
        from tqdm import tqdm

        snapshot, lineage = Snapshot(), dict[str, object]()
        watermark = None if self.since is None else Watermark(self.since, since)
        with (
            self._reader() as reader,
            tqdm(desc="read", unit="page", disable=not sys.stderr.isatty()) as bar,
        ):
            table = RestTable(self, reader, watermark)

            def batches() -> Iterator[Mapping[str, Sequence[Any]]]:
                rows: list[Row] = []
                for page in table.pages():
                    bar.update()
                    rows += page
                    if len(rows) >= BATCH_ROWS:
                        yield columns_of(rows)
                        rows = []
                if rows:
                    yield columns_of(rows)
                snapshot.update(table.snapshot())
                lineage.update(table.lineage())

            with settled_stream(batches(), lineage, snapshot) as stream:
                yield stream

    def snapshot(self) -> Snapshot | None:
        """Return the ETag or the time of change of a single response, else the digest of all rows.

        It is None if new rows are requested: what is new is only known by reading it.
        """
        if self.since is not None:
            return None
        with self._reader() as reader:
            table = RestTable(self, reader, None)
            if self.settings.pagination.kind == "none":
                response = reader.get(table.url_of(Position()), accept="application/json", with_body=False)
                if (version := version_of(response)) is not None:
                    return version
            for _ in table.pages():
                pass
            return table.snapshot()

    def _reader(self) -> HttpReader:
        return HttpReader(
            self.source.uri.removeprefix(PREFIX), self.settings, "source.rest", self.say, self.settings.secret_query
        )


class RestTable:
    """Reads the pages of an API once.

    Parameters
    ----------
    source : RestSource
    reader : HttpReader
    watermark : Watermark or None
        If only rows above it are taken.
    """

    def __init__(self, source: RestSource, reader: HttpReader, watermark: "Watermark | None") -> None:
        self.settings, self.say, self.reader, self.watermark = source.settings, source.say, reader, watermark
        self.pager = Pager(self.settings.pagination, self.settings.max_pages)
        self._digest, self._kinds = hashlib.sha256(), ColumnKinds(self.settings.as_text)
        self._version: Snapshot | None = None

    def pages(self) -> Iterator[list[Row]]:
        """Yield the flat rows of each page.

        Raises
        ------
        SklineError
            If a response is not as it should be; it names the address and the page.
        """
        position: Position | None = self.pager.first()
        while position is not None:
            url = self.url_of(position)
            response = self.reader.get(url, accept="application/json")
            try:
                number = self.pager.n_pages + 1
                document = parse_json(response, number)
                rows = rows_of(document, self.settings.rows, number)
                digest = hashlib.sha256()
                for row in rows:
                    digest.update(json.dumps(row, sort_keys=True).encode())
                self._version = version_of(response)
                position = self.pager.following(
                    position, PageResponse(document, response.next_link, digest.hexdigest(), len(rows))
                )
                taken = rows if self.watermark is None else self.watermark.above(rows, number)
                cells = [self._cells(row) for row in taken]
                self._kinds.add(cells, number)
            except SklineError as error:
                raise self.reader.error(url, str(error)) from error
            yield cells
        if self.pager.has_no_next_on_first_page():
            self.say(
                "the first page does not say what comes next, so it is the whole table; otherwise correct "
                "source.rest.pagination"
            )

    def url_of(self, position: Position) -> httpx.URL:
        """Return the address of a page; credentials are added by the reader."""
        if position.url is not None:
            return self.reader.url.join(position.url)
        query = {name: cell_text(value) for name, value in self.settings.query.items()}
        query |= {} if self.watermark is None else self.watermark.query()
        query |= dict(position.query)
        return self.reader.url.copy_merge_params(query) if query else self.reader.url

    def snapshot(self) -> Snapshot:
        """Return the state that was read."""
        if self.watermark is not None:
            return self.watermark.snapshot()
        if self.settings.pagination.kind == "none" and self._version is not None:
            return self._version
        return {"sha256": self._digest.hexdigest()}

    def lineage(self) -> dict[str, object]:
        """Return what the lineage records."""
        query = {"query": dict(self.settings.query)} if self.settings.query else {}
        return query | {"pages": self.pager.n_pages, "response_bytes": self.reader.n_bytes}

    def _cells(self, row: Row) -> Row:
        """Return the cells of a row, empty text as missing; adds it to the digest."""
        self._digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
        cells = {name: None if value == "" else value for name, value in flat(row).items()}
        for name in self.settings.as_text:
            if cells.get(name) is not None:
                cells[name] = cell_text(cells[name])
        return cells


class ColumnKinds:
    """The kinds of values that each column has; kinds that have no type in common are an error."""

    def __init__(self, as_text: Sequence[str]) -> None:
        self._first = dict[str, dict[str, tuple[int, Any]]]()  # column → kind → page and value
        self._as_text = frozenset(as_text)

    def add(self, rows: Sequence[Row], page: int) -> None:
        """Add the rows of a page; SklineError that names the column and two values."""
        for row in rows:
            for name, value in row.items():
                kinds = self._first.setdefault(name, {})
                kind = value_kind(value)
                if kind is not None and kind not in kinds and name not in self._as_text:
                    self._check(name, kinds, kind, (page, value))
                    kinds[kind] = page, value

    @staticmethod
    def _check(name: str, kinds: Mapping[str, tuple[int, Any]], kind: str, found: tuple[int, Any]) -> None:
        for other, (page, value) in kinds.items():
            if not have_common_type({kind, other}):
                raise SklineError(
                    f"the column {name!r} has {_shown(value)} ({json_type(value)}) on page {page:,}, and "
                    f"{_shown(found[1])} ({json_type(found[1])}) on page {found[0]:,}: the types have nothing in "
                    f"common; add {name} to source.rest.as_text to read the values as text, of which the contract "
                    "gives the type"
                )


class Watermark:
    """The largest value of a column so far.

    Parameters
    ----------
    settings : Since
    earlier : dict or None
        The snapshot with the largest value; None to take all rows.
    """

    def __init__(self, settings: Since, earlier: Snapshot | None) -> None:
        self.settings = settings
        if earlier is not None and earlier.get("column") != settings.column:
            raise SklineError(
                f"source.rest.since.column is {settings.column!r}, and the earlier snapshot has "
                f"{earlier.get('column')!r}: rows cannot be added to it; delete the snapshots to read all rows again"
            )
        self._earlier = self._largest = None if earlier is None else earlier["largest"]

    def query(self) -> dict[str, str]:
        """Return the query parameter that requests new rows."""
        return {} if self._earlier is None else {self.settings.parameter: cell_text(self._earlier)}

    def above(self, rows: Sequence[Row], page: int) -> list[Row]:
        """Return the rows above the earlier value, and remember the largest; without an earlier value, all rows."""
        taken = []
        for row in rows:
            value = flat(row).get(self.settings.column)
            if value is not None and (self._largest is None or self._order(value, page) > self._order(self._largest)):
                self._largest = value
            if self._earlier is None or (value is not None and self._order(value, page) > self._order(self._earlier)):
                taken.append(row)
        return taken

    def snapshot(self) -> Snapshot:
        """Return the largest value; SklineError if there is none."""
        if self._largest is None:
            raise SklineError(
                f"source.rest.since.column: no row has a value of {self.settings.column!r}; name another column"
            )
        return {"column": self.settings.column, "largest": self._largest}

    def _order(self, value: Any, page: int | None = None) -> tuple[int, float | dt.datetime]:
        """Return a value by which rows are ordered: a number, or a time in UTC."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return 0, value
        try:
            moment = dt.datetime.fromisoformat(value)
        except (TypeError, ValueError):
            place = "" if page is None else f"page {page:,}: "
            raise SklineError(
                f"{place}{self.settings.column!r} is {_shown(value)}, neither a number nor a time in ISO 8601; name "
                "another column in source.rest.since"
            ) from None
        return 1, moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment


def parse_json(response: Response, page: int) -> Any:
    """Return the body of a response, parsed; SklineError if it is a web page, or not valid JSON."""
    begin = response.body[:SHOWN].decode("utf-8", "replace")
    if "html" in response.headers.get("Content-Type", "") or response.body.lstrip()[:1] == b"<":
        raise SklineError(
            f"page {page:,} is a web page, not JSON ({' '.join(begin.split())!r}): is it the address of the API, and "
            "does it need credentials (source.rest.headers)?"
        )
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError) as error:
        raise SklineError(
            f"page {page:,} is not valid JSON ({' '.join(str(error).split())}; {len(response.body):,} bytes): was the "
            "response cut off?"
        ) from None


def rows_of(document: Any, pointer: str, page: int) -> list[Row]:
    """Return the rows of a page; SklineError if there is no list of objects."""
    found = find(document, pointer)
    place = f"at source.rest.rows {pointer!r}" if pointer else "in the response itself, where source.rest.rows looks"
    if not isinstance(found, list):
        what = "nothing" if found is ABSENT else f"{_article(found)}, not a list of rows,"
        lists = [f"/{key}" for key, value in document.items() if isinstance(value, list)] if isinstance(
            document, dict
        ) else []  # fmt: skip
        keys = f"; its keys are {', '.join(map(str, document))}"[:200] if isinstance(document, dict) else ""
        hint = f"; set it to {lists[0]}?" if len(lists) == 1 else ""
        raise SklineError(f"page {page:,} has {what} {place}{keys}{hint}")
    for number, row in enumerate(found):
        if not isinstance(row, dict):
            place = f"row {number:,} (counted from 0) of page {page:,}"
            raise SklineError(f"{place} is {_article(row)}; rows are JSON objects")
    return found


def version_of(response: Response) -> Snapshot | None:
    """Return what a response says about its version."""
    for name, key in (("ETag", "etag"), ("Last-Modified", "last_modified")):
        if value := response.headers.get(name):
            return {key: value}
    return None


def have_common_type(kinds: set[str]) -> bool:
    """Whether one type holds values of all these kinds as they are."""
    return kinds == {"text"} or settled_type(kinds) != TYPES["text"]


def _article(value: Any) -> str:
    kind = json_type(value)
    return {"null": "null", "object": "an object", "text": "text"}.get(kind, f"a {kind}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
