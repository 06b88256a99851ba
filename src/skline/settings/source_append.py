"""The section `source.append` of params.yaml: what makes a row of a later snapshot the same as an earlier one."""

from pydantic import Field

from skline.settings.base import SettingsSection


class AppendSettings(SettingsSection):
    """Settings of `source.mode: append`."""

    id: tuple[str, ...] = Field(
        default=(),
        description="Columns of the source that identify a row: of rows with the same values the latest is kept; "
        "without any, all rows are",
    )
    revision: str | None = Field(
        default=None,
        description="Column that says which of these rows is the latest, numbers or times in ISO 8601; by default the "
        "one of the later snapshot is",
    )
