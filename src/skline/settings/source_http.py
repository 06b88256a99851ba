"""The sections `source.rest` and `source.page` of params.yaml: what is read by HTTP, and within which bounds."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from skline.settings.base import NonNegative, Positive, SettingsSection

#: Parameters of an address that hold a credential.
SECRET_PARAMETER = re.compile(r"(^|[_-])(sig|signature|token|(api|access)?[_-]?key|password|secret)$", re.IGNORECASE)
Pointer = Annotated[str, Field(pattern="^(/.*)?$")]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class Credential(SettingsSection):
    """Where a secret value is, which params.yaml must not contain: in an environment variable, or in a file."""

    variable: str | None = Field(default=None, description="Name of the environment variable")
    file: str | None = Field(default=None, description="Path of the file, whose text is taken without its line end")
    prefix: str = Field(default="", description="What stands before the value, such as `Bearer ` with its blank")

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if (self.variable is None) == (self.file is None):
            raise ValueError("name a variable or a file, one of both")
        return self


class HttpSettings(SettingsSection):
    """Settings of requests: how they are repeated, and the bounds of all of them together."""

    headers: dict[HeaderName, Credential] = Field(
        default={},
        repr=False,  # so that no error shows a credential that was written here by mistake
        description="Headers with credentials, by their name; they are sent to the host of source.uri alone",
    )
    user_agent: str | None = Field(default=None, description="Header User-Agent; by default skline/VERSION")
    other_hosts: tuple[str, ...] = Field(
        default=(), description="Further hosts that redirects and next pages may lead to; no credential is sent there"
    )
    timeout: Positive = Field(
        default=30, description="Seconds to wait for a connection, and for each part of a response"
    )
    retries: Annotated[int, Field(ge=0, le=20)] = Field(
        default=4, description="How often a request is repeated after 429, 5xx or a broken connection"
    )
    max_wait: NonNegative = Field(
        default=60, description="The longest pause in seconds that the header Retry-After can set"
    )
    per_second: Positive | None = Field(default=None, description="At most so many requests a second; null: any")
    max_bytes: Annotated[int, Field(gt=0)] = Field(
        default=1 << 30, description="Bytes of all responses, decompressed; more is an error"
    )
    max_seconds: Positive = Field(default=3600, description="Seconds for all requests; more is an error")


class Pagination(SettingsSection):
    """How an API divides its rows into pages."""

    kind: Literal["none", "page", "offset", "cursor", "link"] = Field(
        default="none",
        description="page: a number that grows by 1; offset: the number of rows before the page; cursor: a text from "
        "the response before; link: the address of the next page, from the header Link or from `path`",
    )
    parameter: str | None = Field(
        default=None, description="Query parameter of page, offset or cursor; by default called as the kind is"
    )
    first: int = Field(default=1, description="Number of the first page, for the kind page")
    path: Pointer | None = Field(
        default=None,
        description="JSON Pointer, such as /meta/next, to the cursor or to the address of the next page in a response",
    )

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.kind == "cursor" and self.path is None:
            raise ValueError("the kind cursor needs path, where a response has the next cursor, such as /meta/next")
        if self.path is not None and self.kind not in ("cursor", "link"):
            raise ValueError(f"path is for the kinds cursor and link, not for {self.kind}")
        if self.parameter is not None and self.kind in ("none", "link"):
            raise ValueError(f"parameter is for the kinds page, offset and cursor, not for {self.kind}")
        return self

    @property
    def query_parameter(self) -> str:
        """The query parameter that selects a page."""
        return self.parameter or self.kind


class Since(SettingsSection):
    """How `source.mode: append` requests new rows."""

    parameter: str = Field(
        description="Query parameter that is set to the largest value so far; not sent the first time"
    )
    column: str = Field(
        description="Column of the rows with that value, numbers or times in ISO 8601; rows up to the largest so far "
        "are left out"
    )


class RestSettings(HttpSettings):
    """Settings of a REST API."""

    query: dict[str, str | int | float | bool] = Field(
        default={}, repr=False, description="Query parameters of every request, such as the number of rows of a page"
    )
    secret_query: dict[str, Credential] = Field(
        default={}, repr=False, description="Query parameters with credentials, where the API takes no header"
    )
    rows: Pointer = Field(
        default="",
        description="JSON Pointer (RFC 6901) to the list of rows, such as /data/items; empty: the response itself",
    )
    as_text: tuple[str, ...] = Field(
        default=(), description="Columns whose values are read as text, where rows have values of different types"
    )
    pagination: Pagination = Pagination()
    max_pages: Annotated[int, Field(gt=0)] = Field(default=10_000, description="More pages are an error")
    since: Since | None = Field(default=None, description="For source.mode append: how to request new rows")

    @field_validator("query")
    @classmethod
    def _check_query(cls, query: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        for name in query:
            if SECRET_PARAMETER.search(name):
                raise ValueError(
                    f"{name} looks like a credential, and params.yaml is committed for all to read: give it in "
                    f"secret_query as `{name}: {{variable: NAME}}`"
                )
        return query


class PageSettings(HttpSettings):
    """Settings of a table of a web page."""

    table: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Number of the table on the page, from 1; for a page that has several"
    )
    caption: str | None = Field(
        default=None, description="Text that the caption of the table contains, instead of table"
    )
    columns: tuple[str, ...] = Field(
        default=(), description="The columns that the table must have, in any order; `skline init` notes them"
    )
    max_bytes: Annotated[int, Field(gt=0)] = Field(
        default=1 << 26, description="Bytes of the page, decompressed; more is an error"
    )
    max_seconds: Positive = Field(default=120, description="Seconds for all requests; more is an error")

    @model_validator(mode="after")
    def _check_choice(self) -> Self:
        if self.table is not None and self.caption is not None:
            raise ValueError("name table or caption, not both")
        return self
