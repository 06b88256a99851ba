"""Settings from secret files: a file `skline_log__database` in the directory SKLINE_SECRETS_DIR sets `log.database`."""

import os
from typing import Any

VARIABLE = "SKLINE_SECRETS_DIR"


def secret_file_sources(file_secret_settings: Any) -> tuple[Any, ...]:
    """Return the source of pydantic-settings that reads the directory; none if the variable is not set.

    Parameters
    ----------
    file_secret_settings : PydanticBaseSettingsSource
        As `settings_customise_sources` gets it.
    """
    folder = os.environ.get(VARIABLE)
    if folder is None:
        return ()
    from pydantic_settings import NestedSecretsSettingsSource

    return (
        NestedSecretsSettingsSource(
            file_secret_settings,
            secrets_dir=folder,
            secrets_dir_missing="error",
            secrets_prefix="SKLINE_",
            secrets_nested_delimiter="__",
        ),
    )
