"""Which page of an API comes next: pure functions of the responses so far."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from skline.errors import SklineError
from skline.settings.source_http import Pagination

#: So many equal pages in a row mean that the API ignores the parameter of the page.
EQUAL_PAGES = 3
ABSENT = object()


class Position(NamedTuple):
    """What distinguishes the request for a page: query parameters, or an address instead of that of the source."""

    query: tuple[tuple[str, str], ...] = ()
    url: str | None = None


class PageResponse(NamedTuple):
    """What a response says about pages.

    Attributes
    ----------
    document : object
        The body, parsed from JSON.
    link : str or None
        The address of the next page in the header Link.
    digest : str
        Of the rows.
    n_rows : int
        Rows of this page.
    """

    document: Any
    link: str | None
    digest: str
    n_rows: int


class Pager:
    """Goes from page to page, and rejects pages that come again.

    Parameters
    ----------
    settings : Pagination
    max_pages : int
    """

    def __init__(self, settings: Pagination, max_pages: int) -> None:
        self.settings, self.max_pages = settings, max_pages
        self.n_pages = self.n_rows = 0
        self._pages = dict[Position, int]()
        self._digest, self._n_equal = "", 0

    def first(self) -> Position:
        """Return the position of the first page."""
        match self.settings.kind:
            case "page":
                return self._at(self.settings.first)
            case "offset":
                return self._at(0)
            case _:
                return Position()

    def following(self, position: Position, response: PageResponse) -> Position | None:
        """Return the position after a page; None if it is the last one.

        Pages by number and by offset end with a page without rows: an API may give fewer rows a page than requested.

        Raises
        ------
        SklineError
            If the position was read before, several pages in a row are equal, or there are too many.
        """
        self._pages[position] = self.n_pages = self.n_pages + 1
        self.n_rows += response.n_rows
        following = self._next(response)
        if following is None:
            return None
        if following in self._pages:
            what = following.url or ", ".join(f"{name}={value}" for name, value in following.query)
            raise SklineError(
                f"page {self.n_pages:,} leads to {what!r} again, which was page {self._pages[following]:,}: the pages "
                "never end; correct source.rest.pagination"
            )
        if self.n_pages >= self.max_pages:
            raise SklineError(f"there are more than {self.max_pages:,} pages; raise source.rest.max_pages")
        return following

    def has_no_next_on_first_page(self) -> bool:
        """Whether the only page did not say what comes next: the whole table, or an error in the settings."""
        return self.n_pages == 1 and self.settings.kind in ("cursor", "link")

    def _next(self, response: PageResponse) -> Position | None:
        kind = self.settings.kind
        if kind == "none" or (kind in ("page", "offset") and response.n_rows == 0):
            return None
        if kind in ("page", "offset"):
            self._check_equal(response.digest)
            return self._at(self.settings.first + self.n_pages if kind == "page" else self.n_rows)
        value = response.link if self.settings.path is None else find(response.document, self.settings.path)
        if value in (ABSENT, None, "", False):
            return None
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise SklineError(
                f"page {self.n_pages:,} has a {json_type(value)} at {self.settings.path!r}, not a text or a number; "
                "correct source.rest.pagination.path"
            )
        return self._at(value) if kind == "cursor" else Position(url=str(value))

    def _check_equal(self, digest: str) -> None:
        self._n_equal = self._n_equal + 1 if digest == self._digest else 1
        self._digest = digest
        if self._n_equal == EQUAL_PAGES:
            raise SklineError(
                f"{EQUAL_PAGES} pages in a row, up to page {self.n_pages:,}, have the same rows: does the API know the "
                f"query parameter {self.settings.query_parameter!r}? Correct source.rest.pagination"
            )

    def _at(self, value: str | int) -> Position:
        return Position(((self.settings.query_parameter, str(value)),))


def find(document: Any, pointer: str) -> Any:
    """Return what a JSON Pointer (RFC 6901) leads to in a document; ABSENT if there is nothing."""
    value = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return ABSENT
    return value


def json_type(value: Any) -> str:
    """Return what JSON calls a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return "list"
        case _:
            return "object"
