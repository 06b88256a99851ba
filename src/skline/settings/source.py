"""The section `source` of params.yaml: where the table comes from."""

import datetime as dt
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, WithJsonSchema, model_validator

from skline.addresses import INVALID_HOST, has_valid_host
from skline.contract.spec import DEFAULT_MISSING, Contract
from skline.errors import SklineError
from skline.settings.base import SettingsSection
from skline.settings.monitor import Duration
from skline.settings.source_append import AppendSettings
from skline.settings.source_http import PageSettings, RestSettings
from skline.settings.source_kafka import KafkaAddress, KafkaSettings
from skline.settings.source_kinds import KAFKA, KINDS, PAGE, POSTGRESQL, REST, kind_of
from skline.settings.source_lake import LakeSettings
from skline.settings.source_sql import SqlSettings

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
        "postgresql://HOST/DATABASE, sqlite:///FILE, kafka://BROKER/TOPIC, delta:///PATH, "
        "iceberg://CATALOG/NAMESPACE.TABLE, rest+https://HOST/PATH, page+https://HOST/PATH …"
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
    until: Annotated[dt.datetime | dt.date, WithJsonSchema({"type": "string"})] | None = Field(
        default=None,
        description="Take rows before this date or datetime (UTC), by the contract's column of role time: the table as "
        "it was then. Rows of the feedback are taken whatever their time",
    )
    mode: Literal["full", "append"] = Field(
        default="full",
        description="append: the table is the sum of the snapshots in data/source/snapshots; `skline source update` "
        "reads what is new since the last one, and adds one",
    )
    append: AppendSettings = AppendSettings()
    kafka: KafkaSettings = KafkaSettings()
    sql: SqlSettings = SqlSettings()
    rest: RestSettings = RestSettings()
    page: PageSettings = PageSettings()
    lake: LakeSettings = LakeSettings()

    window: Duration | None = Field(
        default=None,
        description="Once there is feedback (`skline retrain`): take rows of this time before its newest row, such as "
        "365d; null: all rows",
    )
    fitted_snapshots: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Snapshots of the feedback that the pipeline is fitted on; later ones calibrate and test it. "
        "`skline retrain` sets it with retrain.action: recalibrate; null: all",
    )

    @property
    def missing_words(self) -> tuple[str, ...]:
        """The texts that stand for a missing value.

        Parquet files and databases have a null of their own: there only the empty text is missing, unless `missing` is
        set.
        """
        has_null = kind_of(self.uri).has_null or self.uri.lower().endswith(PARQUET_SUFFIXES)
        return ("",) if has_null and "missing" not in self.model_fields_set else self.missing

    @model_validator(mode="after")
    def _check_query(self) -> Self:
        # It raises no ValueError, because pydantic's message would repeat the address with the password in it.
        check_source(self.uri, self.query)
        self._check_sections()
        return self

    def _check_sections(self) -> None:
        """Reject settings of another kind of source than that of the address."""
        kind = kind_of(self.uri)
        for name in sorted(self.model_fields_set):
            if isinstance(getattr(self, name), BaseModel) and name not in ("append", kind.section):
                others = [other for other in KINDS if other.section == name]
                titles, example = ", ".join(other.title for other in others), others[0].schemes[0]
                raise SklineError(
                    f"source.{name} holds settings of {titles}, and source.uri is an address of "
                    f"{kind.title}; remove source.{name}, or correct source.uri ({example}…)"
                )


def check_source(uri: str, query: str | None) -> None:
    """Reject a secret in `uri`, a database without a query, and a query for anything else.

    Raises
    ------
    SklineError
        The message does not contain the address, which may hold the password.
    """
    kind = kind_of(uri)
    if kind.has_query and PASSWORD.search(uri):
        raise SklineError(
            "source.uri holds a password, and params.yaml is committed for all to read: remove it, and set it in the "
            "environment (PGPASSWORD, or the variable that source.sql.password_variable names) or in libpq's password "
            "file (~/.pgpass, or ?passfile=PATH in the address)"
        )
    if kind in (REST, PAGE) and SECRET.search(uri):
        raise SklineError(
            "source.uri holds a password, a token or a signature, and params.yaml and the report show it to all "
            f"who read them: remove it, and give it in source.{kind.section}.headers, which names the environment "
            "variable or the file with it"
        )
    if not kind.has_query and SECRET.search(uri):
        raise SklineError(
            "source.uri holds a password, a token or a signature, and params.yaml and the report show it to all "
            "who read them: remove it, and give the credentials in the environment or the configuration of fsspec "
            "(https://filesystem-spec.readthedocs.io/en/latest/features.html#configuration)"
        )
    if kind is KAFKA:
        try:
            KafkaAddress.parse(uri)
        except SklineError as error:
            raise SklineError(f"source.uri: {error}") from None
    if (kind is POSTGRESQL and not has_valid_host(uri, several=True)) or (
        kind in (REST, PAGE) and not has_valid_host(uri)
    ):
        raise SklineError(f"source.uri: {INVALID_HOST}")
    if kind.has_query and not (query or "").strip():
        raise SklineError(
            "a database needs a query whose result is the table: --query 'SELECT …' of `skline init`, or source.query "
            "in params.yaml"
        )
    if query is not None and not kind.has_query:
        databases = ", ".join(scheme for each in KINDS if each.has_query for scheme in each.schemes)
        raise SklineError(
            f"source.query is for a database ({databases}), and source.uri is {uri!r}; export the table of another "
            "database as Parquet"
        )


def with_source_format(contract: Contract, source: Source) -> Contract:
    """Add to the contract what params.yaml says about the source's text, for requests, labels and other tables."""
    return contract.model_copy(update={"missing": source.missing_words, "trim": source.trim})
