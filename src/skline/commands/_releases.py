"""What the release commands share: the registry, the report on a new release and on its services, and the aliases."""

from skline.errors import SklineError
from skline.registry import versions
from skline.registry.versions import Registry
from skline.release.journal import Entry
from skline.release.manifest import Release
from skline.release.promotion import registry_aliases
from skline.release.services import describe_statuses, has_rejected, wait_for_services
from skline.release.store import ReleaseStore
from skline.settings import Settings


def open_registry(settings: Settings) -> Registry:
    """Return the registry that MLFLOW_TRACKING_URI or params.yaml names, and print which: MLflow starts slowly."""
    registry = versions.open_registry(settings)
    versions.announce(registry)
    return registry


def print_entry(entry: Entry) -> None:
    """Print the release that is published now; whether a service serves it is for the service to say."""
    print(f"release {entry.release.number} is published: {entry.action} {entry.what}", flush=True)


def report_services(releases: ReleaseStore, entry: Entry) -> bool:
    """Wait until the services on this machine have applied or rejected a release, and print what each of them says.

    Returns
    -------
    bool
        Whether any service here follows the releases.

    Raises
    ------
    SklineError
        If a service rejects the release.
    """
    number = entry.release.number
    statuses = wait_for_services(releases.manifest, number)
    for line in describe_statuses(statuses, number):
        print(line)
    if not statuses:
        print(f"no service on this machine follows {releases.manifest}; /info of one elsewhere says what it serves")
    rejected = sum(has_rejected(status, number) for status in statuses)
    if rejected:
        raise SklineError(
            f"release {number} is published, and {rejected} of {len(statuses)} running processes reject it: they serve "
            "what they served before; do what the reason says, or choose another with `uv run skline rollback --to`"
        )
    return bool(statuses)


def update_aliases(registry: Registry, entry: Entry, previous: Release | None) -> None:
    """Set the registry's aliases; if that fails, print a note: the release is published in any case."""
    try:
        registry.set_aliases(registry_aliases(entry, previous))
    except SklineError as error:
        print(f"note: the release is published, but the registry's aliases were not updated: {error}")
