"""What the release commands share: the registry, the line that reports a new release, and the aliases."""

import os

from skline.errors import SklineError
from skline.registry.versions import Registry
from skline.release.journal import Entry
from skline.release.manifest import Release
from skline.release.promotion import registry_aliases
from skline.settings import Settings


def open_registry(settings: Settings) -> Registry:
    """Return the registry that MLFLOW_TRACKING_URI or params.yaml names."""
    return Registry(
        os.environ.get("MLFLOW_TRACKING_URI", settings.register_.tracking_uri),
        settings.project.name,
        settings.release.timeout,
        settings.release.download_seconds,
    )


def print_entry(entry: Entry) -> None:
    """Print the release that is in force now; services follow within their watch_seconds."""
    print(f"release {entry.release.number} is in force: {entry.action} {entry.what}", flush=True)


def update_aliases(registry: Registry, entry: Entry, previous: Release | None) -> None:
    """Set the registry's aliases; if that fails, print a note: the release is in force in any case."""
    try:
        registry.set_aliases(registry_aliases(entry, previous))
    except SklineError as error:
        print(f"note: the release is in force, but the registry's aliases were not updated: {error}")
