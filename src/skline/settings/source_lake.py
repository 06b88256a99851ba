"""The section `source.lake` of params.yaml: which rows of a Delta Lake or Iceberg table are read, in which order."""

import datetime as dt
from typing import Annotated, Self

from pydantic import Field, WithJsonSchema, model_validator

from skline.settings.base import SettingsSection


class LakeSettings(SettingsSection):
    """Settings of a Delta Lake or Iceberg table."""

    version: int | None = Field(
        default=None,
        ge=0,
        description="The version of a Delta Lake table, or the snapshot id of an Iceberg table, that is read; null: "
        "the latest",
    )
    as_of: Annotated[dt.datetime | dt.date, WithJsonSchema({"type": "string"})] | None = Field(
        default=None, description="A date or datetime (UTC): the table is read as it was then"
    )
    where: str | None = Field(
        default=None,
        description="A condition in SQL on the rows that are read, such as \"month = 1 AND origin = 'JFK'\"; files "
        "without such a row are skipped",
    )
    order: tuple[str, ...] = Field(
        default=(),
        description="Columns that the rows are sorted by; rows that are equal there are sorted by all columns",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.version is not None and self.as_of is not None:
            raise ValueError("version and as_of exclude each other: remove one")
        return self
