"""The section of params.yaml that says where the table comes from (`source`)."""

import re
from typing import Annotated, Self

from pydantic import Field, model_validator

from skline.errors import SklineError
from skline.section import Section

POSTGRESQL = ("postgresql://", "postgres://")
SQLITE = "sqlite:///"
#: Any ":" before an "@" parts a user from a password, also where the password holds an unquoted "/" or "?".
PASSWORD = re.compile(r"://[^?]*:[^?]+@|://[^/]*:[^/]+@|[?&](ssl)?password=")


class Source(Section):
    """Where the table comes from."""

    uri: str = Field(
        description="A path, an fsspec URL, package:NAME/FILE for a file inside a Python package, "
        "postgresql://HOST/DATABASE or sqlite:///FILE"
    )
    query: str | None = Field(default=None, description="The SELECT that gives the table, where uri is a database")
    member: str | None = Field(default=None, description="Which file of a zip archive, if it holds several")
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = Field(default=",", description="Of CSV files")
    encoding: str = Field(default="utf-8", description="Of CSV files")
    missing: tuple[str, ...] = Field(
        default=("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "NaT"),
        description="What stands for a missing value in CSV files",
    )
    trim: bool = Field(default=False, description="Leave out blanks around the names and cells of CSV files")
    snapshot: str | None = Field(
        default=None,
        description="Change it to read a source again that DVC cannot watch (anything but data/source)",
    )

    @model_validator(mode="after")
    def _query_fits_uri(self) -> Self:
        check(self.uri, self.query)  # raises no ValueError: pydantic would repeat the address, and the password in it
        return self


def is_database(uri: str) -> bool:
    """Whether a source is a database, to be asked by a query."""
    return uri.startswith((*POSTGRESQL, SQLITE))


def check(uri: str, query: str | None) -> None:
    """Refuse a password in `uri`, a database without a query, and a query of anything else.

    Raises
    ------
    SklineError
        It does not repeat the address, which may hold the password.
    """
    if is_database(uri) and PASSWORD.search(uri):
        raise SklineError(
            "source.uri holds a password, and params.yaml is committed for all to read: take it out, and give it in "
            "the environment (PGPASSWORD), or in libpq's password file (~/.pgpass, or ?passfile=PATH in the address)"
        )
    if is_database(uri) and not (query or "").strip():
        raise SklineError(
            "a database wants a query that gives the table: --query 'SELECT …' of `skline init`, or source.query in "
            "params.yaml"
        )
    if query is not None and not is_database(uri):
        raise SklineError(
            f"source.query is for postgresql://HOST/DATABASE and sqlite:///FILE, and source.uri is {uri!r}; "
            "export another database's table as Parquet"
        )
