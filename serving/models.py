"""The models that serve, the one before them, and how others take their place.

A request takes the reference to the current model once, and with it the challenger beside it, so that it is answered
by one release from beginning to end. A new one takes its place whole: verified, loaded, and proved on its golden rows
before anybody is answered by it.
"""

import asyncio
import dataclasses
import logging
from pathlib import Path

from serving import wanted
from serving.aborted import Aborted
from serving.metrics import Metrics, score_bounds
from serving.model import Model, load_model
from serving.settings import ServiceSettings
from serving.shadow import Shadow
from serving.trial import Trial
from skline.artifact import Artifact, ArtifactRefused
from skline.errors import SklineError
from skline.logs.writer import PredictionLog
from skline.release.manifest import Arm, Flags, Release

log = logging.getLogger("skline.serving")


class Models:
    """The models of one service; the champions all have the contract of the first.

    Attributes
    ----------
    current : Model or None
        Who answers; None until the first artifact has proved its golden rows.
    previous : Model or None
        Who answered before; it stays loaded, to fall back on and to go back to.
    release : Release or None
        What `current` was made for; None if it is an artifact without a release.
    flags : Flags
        What a request may get.
    refused : str or None
        Why what was found last is not served.
    ending : bool
        Whether this process was told to end.
    aborted : Aborted
        Canaries that were taken back.
    """

    def __init__(
        self,
        first: Artifact,
        release: Release | None,
        settings: ServiceSettings,
        metrics: Metrics,
        written: PredictionLog,
    ) -> None:
        self.first = first
        self.current: Model | None = None
        self.previous: Model | None = None
        self.release: Release | None = None
        self.flags = Flags() if release is None else release.flags
        self.refused: str | None = None
        self.ending = False
        self.aborted = Aborted(settings.log.folder / "aborted-canaries.jsonl")
        self._begin_with = release
        self._begun = False  # whether the release that was found is in force, with its challenger, or refused
        self._settings, self._metrics, self._written = settings, metrics, written
        self._unfit: dict[str, str] = {}
        self._watching: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def artifact(self) -> Artifact:
        """The artifact that answers, or that is being loaded."""
        return self.first if self.current is None else self.current.artifact

    @property
    def trial(self) -> Trial | None:
        """The experiment that runs."""
        return None if self.current is None else self.current.trial

    async def start(self) -> None:
        """Load what is to be served first, and from then on watch for something new."""
        if await self._try(self.first) and self._begin_with is not None:
            await self._look_safely()
        self._begun = True
        self._tell_ready()
        settings = self._settings
        if settings.watch_seconds and (settings.release_path is not None or settings.artifact_digest is None):
            self._watching = asyncio.create_task(self._watch(settings.watch_seconds))

    def end(self) -> None:
        """Say that this process will end: requests are still answered, but none should be sent."""
        self.ending = True
        self._tell_ready()

    @property
    def unready(self) -> str | None:
        """Why no predictions should be asked for; None if they should."""
        if self.ending:
            return "the process is ending"
        if self.current is None:
            return self.refused or "the model is being loaded"
        return None if self._begun else "the model is being loaded"

    async def look(self) -> None:
        """Serve what the release manifest, or else the digest file, names now, if that is new and can be served."""
        try:
            path = self._settings.release_path
            release = None if path is None else await asyncio.to_thread(wanted.release, path)
            if release is not None and path is not None:
                if release != self.release:
                    await self._follow(release, path.parent)
                else:
                    self.refused = None
            elif self.release is not None:
                raise ArtifactRefused(f"{path} is gone; put it back, or restart the service to serve the artifact")
            elif self._settings.artifact_digest is None:
                await self._look_at_digest()
        except SklineError as error:
            self._refuse(str(error))
        if self.trial is not None:
            self.trial.tick()

    async def close(self) -> None:
        """Stop watching, and score what waits."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await asyncio.gather(*self._retiring)
        await self._retire(self._in_memory(), None if self.trial is None else self.trial.shadow)

    async def _watch(self, seconds: float) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(seconds)
            await self._look_safely()

    async def _look_safely(self) -> None:
        try:
            await self.look()
        except Exception:
            log.exception("looking for something new to serve failed; what serves goes on")

    async def _look_at_digest(self) -> None:
        """Serve the artifact that the digest file names."""
        digest = self._settings.expected_digest()
        if digest == self.artifact.digest and self.current is not None:
            self.refused = None  # whatever was refused before is no longer asked for
            return
        artifact = await asyncio.to_thread(Artifact.open, self._settings.artifact, digest)
        wanted.check_same(artifact, self.first)
        await self._try(artifact)

    async def _follow(self, release: Release, folder: Path) -> None:
        """Serve a release: all of its arms, or nothing of it."""
        champion = await self._arm(release.champion, folder)
        wanted.check_same(champion.artifact, self.first)
        trial = None
        if release.challenger is not None:
            challenger = await self._arm(release.challenger, folder)
            trial = self._trial(release, challenger, champion.artifact)
        self._swap(dataclasses.replace(champion, trial=trial))
        self.release, self.flags = release, release.flags
        log.info("release %d is in force: %s", release.number, wanted.summary(release))

    async def _arm(self, arm: Arm, folder: Path) -> Model:
        """Find an arm's model in memory, or load it."""
        found = self._in_memory().get(arm.sha256)
        if found is not None:
            return dataclasses.replace(found, trial=None)
        artifact = await asyncio.to_thread(Artifact.open, folder / arm.artifact, arm.sha256)
        return await self._load(artifact)

    def _trial(self, release: Release, challenger: Model, champion: Artifact) -> Trial:
        """Begin an experiment, or go on with it where only its shares or the flags have changed."""
        experiment, arm, before = release.experiment, release.challenger, self.trial
        assert experiment is not None  # noqa: S101 - the manifest's rule
        assert arm is not None  # noqa: S101
        allowed = release.flags.challenger
        if before is not None and before.continues(experiment, arm):
            before.go_on(experiment, arm, allowed=allowed)
            return before
        columns = wanted.columns_of(challenger.artifact, self.first)
        shadow = None
        if experiment.kind == "shadow":
            shadow = Shadow(challenger, columns, self._settings.shadow_queue, self._written)
        return Trial(experiment, arm, challenger, columns, shadow, score_bounds(champion), self.aborted, allowed)

    async def _load(self, artifact: Artifact) -> Model:
        """Load an artifact, and prove it; ArtifactRefused if it cannot serve, without trying a second time."""
        if artifact.digest not in self._unfit:
            try:
                return await load_model(artifact, self._metrics.micro_batch, self._settings.batching())
            except SklineError as error:
                self._unfit[artifact.digest] = f"{artifact.version}: {error}"
        raise ArtifactRefused(self._unfit[artifact.digest])

    async def _try(self, artifact: Artifact) -> bool:
        """Serve an artifact without a release, if it is proved."""
        try:
            self._swap(await self._load(artifact))
        except ArtifactRefused as error:
            self._refuse(str(error))
            return False
        log.info("%s is ready", artifact.version)
        return True

    def _swap(self, model: Model) -> None:
        """Let a model answer from the next request on, with its experiment; what is needed no longer is closed."""
        before, current = self._in_memory(), self.current
        if current is not None and current.artifact.digest != model.artifact.digest:
            self.previous = dataclasses.replace(current, trial=None)
        old_trial, self.current = self.trial, model
        self.refused = None
        if current is None or current.artifact.digest != model.artifact.digest:
            self._metrics.loaded(model.artifact, model.scorer)
            self._tell_ready()
        kept = self._in_memory()
        gone = {digest: one for digest, one in before.items() if digest not in kept}
        shadow = None if old_trial is None or old_trial is model.trial else old_trial.shadow
        task = asyncio.create_task(self._retire(gone, shadow))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire(self, gone: dict[str, Model], shadow: Shadow | None = None) -> None:
        """Close what answers no longer, after it has answered what it was asked."""
        if shadow is not None:
            await asyncio.to_thread(shadow.close)
        for model in gone.values():
            await model.scorer.close()

    def _tell_ready(self) -> None:
        self._metrics.ready.set(self.unready is None)

    def _in_memory(self) -> dict[str, Model]:
        """The models that are loaded, by digest."""
        trial = self.trial
        found = (self.current, None if trial is None else trial.challenger, self.previous)
        return {model.artifact.digest: model for model in found if model is not None}

    def _refuse(self, reason: str) -> None:
        """Note why something is not served; the same reason is logged and counted once."""
        if reason != self.refused:
            self.refused = reason
            self._metrics.artifact_refused.inc()
            log.error(
                "a release or artifact is refused, %s: %s", "what serves goes on" if self.current else "none", reason
            )
