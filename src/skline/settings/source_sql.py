"""The section `source.sql` of params.yaml: what a query on a database may need besides its text."""

import datetime as dt
from typing import Annotated

from pydantic import Field, WithJsonSchema

from skline.settings.base import SettingsSection


class SqlSettings(SettingsSection):
    """Settings of a database."""

    watermark: str | None = Field(
        default=None,
        description="Column of the result that grows with every new or changed row, such as an id or a time of change: "
        "its largest value is the snapshot, and `source.mode: append` reads the rows above it",
    )
    as_of: Annotated[dt.datetime | dt.date, WithJsonSchema({"type": "string"})] | None = Field(
        default=None, description="The moment that stands in the query for `:as_of`; it is the snapshot, too"
    )
    password_variable: str | None = Field(
        default=None,
        description="Name of the environment variable with the password, for MySQL and databases of SQLAlchemy; "
        "PostgreSQL has PGPASSWORD",
    )
