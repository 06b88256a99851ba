"""The settings of the prediction log, for the commands that read and write it."""

from pathlib import Path
from typing import TYPE_CHECKING

from skline.project import require_project

if TYPE_CHECKING:
    from skline.logs.settings import LogSettings


def log_settings(*or_any: Path) -> "LogSettings":
    """Return the settings of the log.

    Raises
    ------
    SklineError
        If a setting is invalid, or no setting names a log, and the current folder is no project and has neither a log
        nor one of these paths.
    """
    from skline.logs.settings import LogSettings

    settings, default = LogSettings.from_environment(), LogSettings()
    if (settings.database, settings.partitions) == (default.database, default.partitions):
        require_project(Path(settings.database), settings.partitions, *or_any)
    return settings
