"""Registered versions: find one, download its artifact, set aliases.

Every registry call has a hard timeout: it runs in a daemon thread that is abandoned on timeout.
"""

import importlib
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from skline.errors import SklineError
from skline.redaction import redact
from skline.registry.database import require_complete
from skline.registry.mlflow_model import ARTIFACT_FOLDER, MODEL_FOLDER
from skline.registry.record import CHAMPION_TAG, FAILURES_TAG, UNDECIDED_TAG, VERDICT_TAG, open_client, tracking_uri
from skline.settings import Settings

T = TypeVar("T")
#: Names that may be used for a version.
ALIASES = ("champion", "challenger", "previous")

#: MLflow's URI of a registered version.
MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(/(?P<number>[0-9]+)|@(?P<alias>[^/@]+))")

REMEDY = "services keep their release; check that the registry runs and that MLFLOW_TRACKING_URI is its address"
UNUSABLE = "the registry at {uri} cannot be used: {reason}; " + REMEDY


@dataclass(frozen=True)
class Version:
    """A registered version, as the registry describes it: `skline.release.registered` tells whether that is true.

    `verdict` is "passed", "failed", or None where no gate has been checked; `failures` names the gates that failed, and
    `undecided` those that are undecided; `champion_sha256` is the digest of the champion that it was compared with,
    empty if there was none. `artifact_path` is where its run has the artifact.
    """

    name: str
    number: str
    run_id: str
    artifact_sha256: str
    verdict: str | None
    failures: str
    champion_sha256: str
    undecided: str = ""
    artifact_path: str = f"{MODEL_FOLDER}/{ARTIFACT_FOLDER}"

    @property
    def label(self) -> str:
        """NAME/NUMBER."""
        return f"{self.name}/{self.number}"


@dataclass(frozen=True)
class Registry:
    """The registered versions of one model.

    Parameters
    ----------
    uri : str
        Address of the tracking server or database.
    model : str
        Name of the registered model.
    timeout, download_seconds : float
        Time limits, in seconds, of a call and of a download.
    """

    uri: str
    model: str
    timeout: float
    download_seconds: float

    def find(self, name: str | None) -> Version:
        """Find a version by its number or alias; None is the challenger.

        Raises
        ------
        SklineError
            If there is no such version, or the registry cannot be used.
        """
        number_or_alias = name or "challenger"

        def get_version(mlflow_client: Any) -> Any:
            from mlflow.exceptions import MlflowException

            try:
                if number_or_alias in ALIASES:
                    return mlflow_client.get_model_version_by_alias(self.model, number_or_alias)
                return mlflow_client.get_model_version(self.model, number_or_alias)
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise SklineError(
                        f"the registry at {redact(self.uri)} has no {number_or_alias!r} of the model {self.model!r}"
                        f"{_others(mlflow_client, self.model, number_or_alias)}"
                    ) from None
                raise

        version = self._call(get_version, self.timeout)
        tags = version.tags or {}
        if "artifact_sha256" not in tags or not version.run_id:
            raise SklineError(f"{self.model}/{version.version} was not registered by `dvc repro`: it has no artifact")
        return Version(
            self.model,
            str(version.version),
            version.run_id,
            tags["artifact_sha256"],
            tags.get(VERDICT_TAG),
            tags.get(FAILURES_TAG, ""),
            tags.get(CHAMPION_TAG, ""),
            tags.get(UNDECIDED_TAG, ""),
            _artifact_path(version.source),
        )

    def download(self, version: Version, folder: Path) -> Path:
        """Download the artifact of a version into `folder`, and return its path."""
        return self._call(
            lambda mlflow_client: Path(
                mlflow_client.download_artifacts(version.run_id, version.artifact_path, str(folder))
            ),
            self.download_seconds,
        )

    def aliases(self) -> dict[str, str]:
        """Return the number of the version by alias; SklineError if the registry cannot be used or lacks the model."""

        def get_aliases(mlflow_client: Any) -> dict[str, str]:
            aliases = mlflow_client.get_registered_model(self.model).aliases
            return {name: str(number) for name, number in aliases.items()}

        return self._call(get_aliases, self.timeout)

    def set_aliases(self, aliases: dict[str, str]) -> None:
        """Set aliases to version numbers; a challenger that becomes the champion loses the alias `challenger`."""

        def update(mlflow_client: Any) -> None:
            current = mlflow_client.get_registered_model(self.model).aliases
            for alias, number in aliases.items():
                mlflow_client.set_registered_model_alias(self.model, alias, number)
            if "challenger" not in aliases and str(current.get("challenger")) == aliases["champion"]:
                mlflow_client.delete_registered_model_alias(self.model, "challenger")

        self._call(update, self.timeout)

    def _call(self, function: Callable[[Any], T], seconds: float) -> T:
        """Call `function` with a client, for at most `seconds`; the import of MLflow does not count.

        A local database has to be complete: to open another one, MLflow would create tables, which must not be cut off.
        """
        require_complete(self.uri)
        importlib.import_module("mlflow")
        if not self.uri.startswith("http"):
            importlib.import_module("mlflow.store.tracking.sqlalchemy_store")

        def call() -> T:
            with open_client(self.uri, self.timeout, UNUSABLE) as mlflow_client:
                return function(mlflow_client)

        message = f"the registry at {redact(self.uri)} did not respond within {seconds:g} s; {REMEDY}"
        return call_with_timeout(call, seconds, message)


def open_registry(settings: Settings, project: Path = Path(), model: str | None = None) -> Registry:
    """Return the registry that MLFLOW_TRACKING_URI or params.yaml names.

    Parameters
    ----------
    settings : Settings
    project : Path
        Root of the project, in which a relative path of SQLite begins.
    model : str, optional
        Name of the registered model; by default the project's.
    """
    uri = tracking_uri(settings.register_)
    if (file := uri.removeprefix("sqlite:///")) != uri:
        uri = f"sqlite:///{project / file}"
    return Registry(uri, model or settings.project.name, settings.release.timeout, settings.release.download_seconds)


def announce(registry: Registry) -> None:
    """Print on stderr which registry is opened: MLflow takes 5 to 40 seconds to start, and says nothing."""
    print(f"opening the registry at {redact(registry.uri)} …", file=sys.stderr, flush=True)


def parse_model_uri(uri: str) -> tuple[str, str]:
    """Return the name, and the number or alias, that MLflow's URI of a registered version names.

    Raises
    ------
    SklineError
        If it is neither models:/NAME/NUMBER nor models:/NAME@ALIAS.
    """
    match = MODEL_URI.fullmatch(uri)
    if match is None:
        raise SklineError(f"{uri!r} names no registered version; write models:/NAME/NUMBER or models:/NAME@champion")
    return match["name"], match["number"] or match["alias"]


def _others(mlflow_client: Any, model: str, name: str) -> str:
    """Return what a model has instead of the version `name`, as the rest of a sentence."""
    newest = mlflow_client.search_model_versions(f"name = '{model}'", max_results=1, order_by=["version_number DESC"])
    if not newest:
        return "; `dvc repro` registers one"
    last, aliases = str(newest[0].version), mlflow_client.get_registered_model(model).aliases
    if name == "challenger" and str(aliases.get("champion")) == last:
        return (
            f": the newest version, {last}, is the champion already. After a change `dvc repro` registers another; the "
            "number of an earlier version names that"
        )
    known = "".join(f", {alias} is {aliases[alias]}" for alias in ALIASES if alias in aliases)
    return f"; the newest version is {last}{known}; name one of these, or the number of an earlier one"


def _artifact_path(source: str) -> str:
    """Return where the run of a version has the artifact: in early versions it is the source itself."""
    is_model = source.rstrip("/").endswith(f"/{MODEL_FOLDER}")
    return f"{MODEL_FOLDER}/{ARTIFACT_FOLDER}" if is_model else ARTIFACT_FOLDER


def call_with_timeout(function: Callable[[], T], seconds: float, message: str) -> T:
    """Call `function` in a daemon thread.

    Raises
    ------
    SklineError
        With `message`, if the call has not returned after `seconds`; the thread is abandoned.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise SklineError(message)
    return results[0]
