"""The section `source` of params.yaml: where the table comes from."""

import re
from typing import Annotated, Self

from pydantic import Field, model_validator

from skline.addresses import INVALID_HOST, has_valid_host
from skline.contract.spec import DEFAULT_MISSING, Contract
from skline.errors import SklineError
from skline.settings.base import SettingsSection
from skline.settings.monitor import Duration

POSTGRESQL = ("postgresql://", "postgres://")
SQLITE = "sqlite:///"
PARQUET_SUFFIXES = (".parquet", ".pq")
#: Any ":" before an "@" separates a user from a password, also where the password holds an unquoted "/" or "?".
PASSWORD = re.compile(r"://[^?]*:[^?]+@|://[^/]*:[^/]+@|[?&](ssl)?password=")
#: The same in other addresses, whose user has no unquoted "/"; and signatures and tokens of links to an object store.
SECRET = re.compile(
    r"://[^/?]*:[^/?]+@|[?&](sig|signature|x-amz-signature|x-goog-signature|(access_?)?token|api_?key|password|secret)=",
    re.IGNORECASE,
)


class Source(SettingsSection):
    """Where the table comes from."""

    uri: str = Field(
        description="A path, an fsspec URL, package:NAME/FILE for a file inside a Python package, "
        "postgresql://HOST/DATABASE or sqlite:///FILE"
    )
    query: str | None = Field(default=None, description="The SELECT whose result is the table, for a database")
    member: str | None = Field(default=None, description="Name of the file in a zip archive that has several")
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = Field(
        default=",", description="Separator of the cells of CSV files"
    )
    encoding: str = Field(default="utf-8", description="Encoding of CSV files")
    sheet: str | None = Field(default=None, description="Name of the sheet of an Excel file that has several")
    skip: int = Field(default=0, ge=0, description="Lines above the line of column names, such as titles")
    skip_footer: int = Field(
        default=0,
        ge=0,
        description="Lines at the end that are no rows, such as totals; a line that looks like a row is kept",
    )
    skip_footer_always: bool = Field(
        default=False, description="Skip the lines of skip_footer also if they look like rows"
    )
    header: bool = Field(
        default=True, description="Whether a line of column names comes first; without it they are column_1, column_2 …"
    )
    quotes: bool = Field(default=True, description="Whether double quotes enclose cells of CSV files")
    rename_duplicates: bool = Field(
        default=False, description="Call the second column of the same name NAME_2, instead of rejecting the file"
    )
    missing: tuple[str, ...] = Field(
        default=DEFAULT_MISSING,
        description="Texts that stand for a missing value, in CSV files and in requests; of other sources only if set",
    )
    trim: bool = Field(default=True, description="Remove blanks around the names and cells of CSV files")
    snapshot: str | None = Field(
        default=None,
        description="Change this to read again a source that DVC cannot watch (anything but data/source)",
    )

    window: Duration | None = Field(
        default=None,
        description="Once there is feedback (`skline retrain`): take rows of this time before its newest row, such as "
        "365d; null: all rows",
    )

    @property
    def missing_words(self) -> tuple[str, ...]:
        """The texts that stand for a missing value.

        Parquet files and databases have a null of their own: there only the empty text is missing, unless `missing` is
        set.
        """
        has_null = is_database(self.uri) or self.uri.lower().endswith(PARQUET_SUFFIXES)
        return ("",) if has_null and "missing" not in self.model_fields_set else self.missing

    @model_validator(mode="after")
    def _check_query(self) -> Self:
        # It raises no ValueError, because pydantic's message would repeat the address with the password in it.
        check_source(self.uri, self.query)
        return self


def is_database(uri: str) -> bool:
    """Return whether a source is a database, which is read with a query."""
    return uri.startswith((*POSTGRESQL, SQLITE))


def check_source(uri: str, query: str | None) -> None:
    """Reject a secret in `uri`, a database without a query, and a query for anything else.

    Raises
    ------
    SklineError
        The message does not contain the address, which may hold the password.
    """
    if is_database(uri) and PASSWORD.search(uri):
        raise SklineError(
            "source.uri holds a password, and params.yaml is committed for all to read: remove it, and set it in the "
            "environment (PGPASSWORD) or in libpq's password file (~/.pgpass, or ?passfile=PATH in the address)"
        )
    if not is_database(uri) and SECRET.search(uri):
        raise SklineError(
            "source.uri holds a password, a token or a signature, and params.yaml and the report show it to all "
            "who read them: remove it, and give the credentials in the environment or the configuration of fsspec "
            "(https://filesystem-spec.readthedocs.io/en/latest/features.html#configuration)"
        )
    if uri.startswith(POSTGRESQL) and not has_valid_host(uri, several=True):
        raise SklineError(f"source.uri: {INVALID_HOST}")
    if is_database(uri) and not (query or "").strip():
        raise SklineError(
            "a database needs a query whose result is the table: --query 'SELECT …' of `skline init`, or source.query "
            "in params.yaml"
        )
    if query is not None and not is_database(uri):
        raise SklineError(
            f"source.query is for postgresql://HOST/DATABASE and sqlite:///FILE, and source.uri is {uri!r}; "
            "export the table of another database as Parquet"
        )


def with_source_format(contract: Contract, source: Source) -> Contract:
    """Add to the contract what params.yaml says about the source's text, for requests, labels and other tables."""
    return contract.model_copy(update={"missing": source.missing_words, "trim": source.trim})
