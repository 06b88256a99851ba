"""The models of one service: load the first one, follow new releases, and replace the current model.

A request reads `ModelManager.current` once, so that one release serves it from beginning to end. A release is activated
as a whole: its artifacts are verified, loaded, and have reproduced their golden rows before the first request gets it.
"""

import asyncio
import logging
from pathlib import Path
from typing import NamedTuple

from skline.artifact import Artifact, InvalidArtifact
from skline.errors import SklineError
from skline.logs.writer import PredictionLog
from skline.release.aborted import FILE_NAME, AbortedCanaries
from skline.release.manifest import Arm, Flags, Release, read_manifest
from skline.release.mirror import ReleaseMirror
from skline.release.object_storage import StoreUnavailable
from skline.release.services import ServiceState, StatusFile
from skline.serving.experiments.experiment import RunningExperiment
from skline.serving.experiments.shadow import ShadowScorer
from skline.serving.models.model import LoadedModel, load_model
from skline.serving.observability.metrics import Metrics, score_bounds
from skline.serving.releases.source import (
    challenger_columns,
    rejected_candidate,
    require_same_contract,
    summary,
)
from skline.serving.settings import ServiceSettings
from skline.throttled_logger import ThrottledLogger

log = logging.getLogger("skline.serving")


class ActiveRelease(NamedTuple):
    """The champion, and the experiment that runs with it, if there is one."""

    model: LoadedModel
    experiment: RunningExperiment | None = None


class ModelManager:
    """The models of one service. All champions have the contract of the initial artifact.

    Attributes
    ----------
    initial_artifact : Artifact
        Served first, or to be served first; the routes are built from its contract.
    current : ActiveRelease or None
        Serves requests; None until the initial artifact has reproduced its golden rows.
    previous : LoadedModel or None
        The champion before the current one. It stays loaded as a fallback, and for a rollback.
    release : Release or None
        The manifest that `current` is made from; None if it is an artifact without a release.
    feature_flags : Flags
        The features that requests may use.
    rejected_reason : str or None
        Why the newest release or artifact is not served.
    stopping : bool
        Whether this process is shutting down.
    aborted_canaries : AbortedCanaries
    """

    def __init__(
        self,
        initial_artifact: Artifact,
        release: Release | None,
        settings: ServiceSettings,
        metrics: Metrics,
        prediction_log: PredictionLog,
        mirror: ReleaseMirror | None = None,
    ) -> None:
        self.initial_artifact = initial_artifact
        self.current: ActiveRelease | None = None
        self.previous: LoadedModel | None = None
        self.release: Release | None = None
        self.feature_flags = Flags() if release is None else release.flags
        self.rejected_reason: str | None = None
        self.stopping = False
        self.aborted_canaries = AbortedCanaries(settings.log.folder / FILE_NAME)
        self._initial_release = release
        self._initial_release_applied = False  # or rejected
        self._settings, self._metrics, self._prediction_log = settings, metrics, prediction_log
        self._mirror, self._throttled = mirror, ThrottledLogger(log)
        self._load_failures: dict[str, str] = {}  # by the artifact's digest
        self._watcher: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._checked_release: int | None = None  # the number of the newest release that was applied or rejected
        path = settings.release_path
        self._status_file = StatusFile(path) if path is not None and settings.watch_seconds else None

    @property
    def artifact(self) -> Artifact:
        """The artifact that serves requests, or that is being loaded."""
        return self.initial_artifact if self.current is None else self.current.model.artifact

    @property
    def experiment(self) -> RunningExperiment | None:
        """The experiment that runs."""
        return None if self.current is None else self.current.experiment

    @property
    def not_ready_reason(self) -> str | None:
        """Why no requests should be sent to this process; None if it is ready."""
        if self.stopping:
            return "the process is shutting down"
        if self.current is None:
            return self.rejected_reason or "the model is being loaded"
        return None if self._initial_release_applied else "the model is being loaded"

    async def start(self) -> None:
        """Load the initial artifact and its release, then watch for new ones."""
        if await self._serve_artifact(self.initial_artifact) and self._initial_release is not None:
            await self._refresh_logged()
        self._initial_release_applied = True
        self._update_ready()
        await self._write_status()
        settings = self._settings
        if settings.watch_seconds and (settings.release_path is not None or settings.artifact_digest is None):
            self._watcher = asyncio.create_task(self._watch(settings.watch_seconds))

    def mark_stopping(self) -> None:
        """Report not ready from now on; requests that arrive are still served."""
        self.stopping = True
        self._update_ready()

    async def refresh(self) -> None:
        """Serve what the release manifest, or else the digest file, names now; reject it if it cannot be served."""
        try:
            await self._update_mirror()
            path = self._settings.release_path
            release = None if path is None else await asyncio.to_thread(read_manifest, path)
            if release is not None and path is not None:
                self._checked_release = release.number  # no status is written before it is applied or rejected
                if release != self.release:
                    await self._apply_release(release, path.parent)
                else:
                    self.rejected_reason = None
            elif self.release is not None:
                raise InvalidArtifact(f"{path} is gone; put it back, or restart the service to serve the artifact")
            elif self._settings.artifact_digest is None:
                await self._apply_digest_file()
        except SklineError as error:
            self._reject(str(error))
        if self.experiment is not None:
            self.experiment.refresh()

    @property
    def release_store_failures(self) -> int:
        """How often the object storage of the release did not answer."""
        return 0 if self._mirror is None else self._mirror.failures

    async def _update_mirror(self) -> None:
        """Copy the release from object storage; while that is away, what was copied before stays in service."""
        if self._mirror is None:
            return
        try:
            await asyncio.to_thread(self._mirror.update)
        except StoreUnavailable as error:
            self._throttled.log(logging.WARNING, f"{error}; the release in service stays")

    async def close(self) -> None:
        """Stop watching, score the rows that wait, and close all models."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        if self._status_file is not None:
            await asyncio.to_thread(self._status_file.remove)
        await asyncio.gather(*self._closing)
        await _close(self._loaded_models(), None if self.experiment is None else self.experiment.shadow)

    async def _watch(self, seconds: float) -> None:
        """Refresh at intervals, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await self._refresh_logged()

    async def _refresh_logged(self) -> None:
        """Refresh; an unexpected failure is logged and leaves the current model in place."""
        try:
            await self.refresh()
        except Exception:
            log.exception("checking for a new release or artifact failed; the current model stays in service")
        await self._write_status()

    async def _write_status(self) -> None:
        """Tell the commands that change releases what is served, where this process follows a manifest."""
        if self._status_file is None:
            return
        state = ServiceState(
            address=f"{self._settings.host}:{self._settings.port}",
            version=self.artifact.version,
            release=None if self.release is None else self.release.number,
            checked=self._checked_release,
            rejected=self.rejected_reason,
        )
        await asyncio.to_thread(self._status_file.write, state)

    async def _apply_release(self, release: Release, folder: Path) -> None:
        """Serve all arms of a release, or none of them."""
        champion = await self._get_or_load(release.champion, folder)
        require_same_contract(champion.artifact, self.initial_artifact)
        experiment = None
        if release.challenger is not None:
            challenger = await self._get_or_load(release.challenger, folder)
            experiment = self._start_or_update_experiment(release, challenger, champion.artifact)
        self._activate(ActiveRelease(champion, experiment))
        self.release, self.feature_flags = release, release.flags
        log.info("release %d is in force: %s", release.number, summary(release))

    async def _apply_digest_file(self) -> None:
        """Serve the artifact that the digest file names."""
        digest = self._settings.expected_digest()
        if digest == self.artifact.digest and self.current is not None:
            reason = await asyncio.to_thread(rejected_candidate, self._settings, self.artifact)
            if reason is not None:
                self._reject(reason)
            else:
                self.rejected_reason = None  # the rejected artifact is no longer the one that the file names
            return
        artifact = await asyncio.to_thread(Artifact.open, self._settings.artifact, digest)
        require_same_contract(artifact, self.initial_artifact)
        await self._serve_artifact(artifact)

    async def _serve_artifact(self, artifact: Artifact) -> bool:
        """Serve an artifact without a release; return False if it is rejected."""
        log.info("loading %s", artifact.version)
        try:
            self._activate(ActiveRelease(await self._load(artifact)))
        except InvalidArtifact as error:
            self._reject(str(error))
            return False
        log.info("%s is ready", artifact.version)
        return True

    async def _get_or_load(self, arm: Arm, folder: Path) -> LoadedModel:
        """Return an arm's model: the one in memory, or a new one."""
        loaded = self._loaded_models().get(arm.sha256)
        if loaded is not None:
            return loaded
        artifact = await asyncio.to_thread(Artifact.open, arm.folder(folder), arm.sha256)
        return await self._load(artifact)

    async def _load(self, artifact: Artifact) -> LoadedModel:
        """Load an artifact; one that failed before, for any reason, is rejected without another attempt."""
        if artifact.digest not in self._load_failures:
            try:
                return await load_model(artifact, self._metrics.observe_micro_batch, self._settings.batching())
            except SklineError as error:
                self._load_failures[artifact.digest] = f"{artifact.version}: {error}"
            except Exception as error:  # unpickling a pipeline runs the constructors of any library
                log.exception("%s cannot be loaded", artifact.version)
                self._load_failures[artifact.digest] = f"{artifact.version}: {type(error).__name__}: {error}"
        raise InvalidArtifact(self._load_failures[artifact.digest])

    def _start_or_update_experiment(
        self, release: Release, challenger: LoadedModel, champion: Artifact
    ) -> RunningExperiment:
        """Start an experiment, or update the running one if only its shares or the feature flags differ."""
        experiment, arm, running = release.experiment, release.challenger, self.experiment
        assert experiment is not None  # noqa: S101 - the manifest's rule
        assert arm is not None  # noqa: S101
        allowed = release.flags.challenger
        if running is not None and running.is_same_as(experiment, arm):
            running.update(experiment, arm, allowed=allowed)
            return running
        columns = challenger_columns(challenger.artifact, self.initial_artifact)
        shadow = None
        if experiment.kind == "shadow":
            shadow = ShadowScorer(challenger, columns, self._settings.shadow_queue, self._prediction_log)
        return RunningExperiment(
            experiment, arm, challenger, columns, shadow, score_bounds(champion), self.aborted_canaries, allowed
        )

    def _activate(self, release: ActiveRelease) -> None:
        """Serve the next requests by a release, and close the models and the shadow that are no longer used."""
        loaded, before = self._loaded_models(), self.current
        model = release.model
        is_new_model = before is None or before.model.artifact.digest != model.artifact.digest
        if before is not None and is_new_model:
            self.previous = before.model
        self.current = release
        self.rejected_reason = None
        if is_new_model:
            self._metrics.set_model(model.artifact, model.scorer.scoring)
            self._update_ready()
        kept = self._loaded_models()
        replaced = {digest: other for digest, other in loaded.items() if digest not in kept}
        shadow = None
        if before is not None and before.experiment is not None and before.experiment is not release.experiment:
            shadow = before.experiment.shadow
        task = asyncio.create_task(_close(replaced, shadow))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _loaded_models(self) -> dict[str, LoadedModel]:
        """Return the models in memory, by their artifact's digest."""
        current = None if self.current is None else self.current.model
        challenger = None if self.experiment is None else self.experiment.challenger
        models = (current, challenger, self.previous)
        return {model.artifact.digest: model for model in models if model is not None}

    def _update_ready(self) -> None:
        self._metrics.ready.set(self.not_ready_reason is None)

    def _reject(self, reason: str) -> None:
        """Keep the reason why something is not served; log and count it once."""
        if reason != self.rejected_reason:
            self.rejected_reason = reason
            self._metrics.artifact_rejections.inc()
            log.error(
                "a release or artifact is rejected, %s: %s",
                "the current model stays in service" if self.current else "there is no model to serve",
                reason,
            )


async def _close(models: dict[str, LoadedModel], shadow: ShadowScorer | None) -> None:
    """Close models and a shadow; the rows that wait for the models are scored first."""
    if shadow is not None:
        await asyncio.to_thread(shadow.close)
    for model in models.values():
        await model.scorer.close()
