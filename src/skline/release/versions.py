"""Registered versions, as a promotion needs them: which one is meant, its verdict, its artifact, the aliases.

Every conversation with the registry has an end in time, whatever hangs: it is held in a thread, which is left behind.
"""

import importlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from skline.errors import SklineError
from skline.registry import AGAINST_TAG, FAILURES_TAG, VERDICT_TAG, client, shown

Result = TypeVar("Result")
#: Names that may stand for a version.
ALIASES = ("champion", "challenger", "previous")

REMEDY = "what serves goes on serving; see that it runs, and that MLFLOW_TRACKING_URI says where"
UNUSABLE = "the registry at {uri} cannot be used: {reason}; " + REMEDY


@dataclass(frozen=True)
class Version:
    """A registered version.

    `verdict` is "passed", "failed", or None where no gate has judged it; `against` the digest of the champion that it
    was compared with, empty if there was none.
    """

    name: str
    number: str
    run_id: str
    artifact_sha256: str
    verdict: str | None
    failures: str
    against: str

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
        Of the tracking server or database.
    model : str
        What the registered model is called.
    timeout, download_seconds : float
        Seconds that a question, and a download, may take.
    """

    uri: str
    model: str
    timeout: float
    download_seconds: float

    def find(self, wanted: str | None) -> Version:
        """Find a version by its number or alias; the challenger if none is given."""
        which = wanted or "challenger"

        def ask(mlflow_client: Any) -> Any:
            from mlflow.exceptions import MlflowException

            try:
                if which in ALIASES:
                    return mlflow_client.get_model_version_by_alias(self.model, which)
                return mlflow_client.get_model_version(self.model, which)
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise SklineError(
                        f"the registry at {shown(self.uri)} has no {which!r} of the model {self.model!r}; register one "
                        f"with `dvc repro`, or give a version's number or one of {', '.join(ALIASES)}"
                    ) from None
                raise

        found = self._ask(ask, self.timeout)
        tags = found.tags or {}
        if "artifact_sha256" not in tags or not found.run_id:
            raise SklineError(f"{self.model}/{found.version} was not registered by `dvc repro`: it names no artifact")
        return Version(
            self.model,
            str(found.version),
            found.run_id,
            tags["artifact_sha256"],
            tags.get(VERDICT_TAG),
            tags.get(FAILURES_TAG, ""),
            tags.get(AGAINST_TAG, ""),
        )

    def download(self, version: Version, folder: Path) -> Path:
        """Fetch a version's artifact into `folder`; returns where it is."""
        return self._ask(
            lambda mlflow_client: Path(mlflow_client.download_artifacts(version.run_id, "artifact", str(folder))),
            self.download_seconds,
        )

    def point(self, aliases: dict[str, str]) -> None:
        """Let aliases point at version numbers; who has become champion is no challenger any more."""

        def ask(mlflow_client: Any) -> None:
            there = mlflow_client.get_registered_model(self.model).aliases
            for alias, number in aliases.items():
                mlflow_client.set_registered_model_alias(self.model, alias, number)
            if "challenger" not in aliases and str(there.get("challenger")) == aliases["champion"]:
                mlflow_client.delete_registered_model_alias(self.model, "challenger")

        self._ask(ask, self.timeout)

    def _ask(self, question: Callable[[Any], Result], seconds: float) -> Result:
        """Hold a conversation that ends after `seconds` whatever happens; importing MLflow takes no part of them."""
        importlib.import_module("mlflow")
        if not self.uri.startswith("http"):
            importlib.import_module("mlflow.store.tracking.sqlalchemy_store")

        def talk() -> Result:
            with client(self.uri, self.timeout, UNUSABLE) as mlflow_client:
                return question(mlflow_client)

        late = f"the registry at {shown(self.uri)} does not answer within {seconds:g} s; {REMEDY}"
        return within(seconds, talk, late)


def within(seconds: float, work: Callable[[], Result], late: str) -> Result:
    """Do `work` in a thread, and raise SklineError(late) if it is not done in time; the thread is left behind."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again, where it is waited for
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise SklineError(late)
    return results[0]
