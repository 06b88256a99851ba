"""The model that serves, the one before it, and how one takes the other's place.

A request takes the reference to the current model once, so that it is answered by one model from beginning to
end. A new one takes its place whole: verified, loaded, and proved on its golden rows before anybody is answered by it.
"""

import asyncio
import logging
from dataclasses import dataclass

from serving.answers import Answers, half_width_of
from serving.metrics import Metrics
from serving.scorers import Scorer, load
from serving.settings import ServiceSettings
from skline.artifact import Artifact, ArtifactRefused
from skline.errors import SklineError

log = logging.getLogger("skline.serving")


@dataclass(frozen=True, eq=False)
class Model:
    """An artifact that answers."""

    artifact: Artifact
    scorer: Scorer
    answers: Answers


class Models:
    """The models of one service, which all have the contract of the first.

    Attributes
    ----------
    current : Model or None
        Who answers; None until the first artifact has proved its golden rows.
    previous : Model or None
        Who answered before; it stays loaded, to fall back on.
    refused : str or None
        Why the artifact that was found last is not served.
    ending : bool
        Whether this process was told to end.
    """

    def __init__(self, first: Artifact, settings: ServiceSettings, metrics: Metrics) -> None:
        self.first = first
        self.current: Model | None = None
        self.previous: Model | None = None
        self.refused: str | None = None
        self.ending = False
        self._settings = settings
        self._metrics = metrics
        self._watching: asyncio.Task[None] | None = None

    @property
    def artifact(self) -> Artifact:
        """The artifact that answers, or that is being loaded."""
        return self.first if self.current is None else self.current.artifact

    async def start(self) -> None:
        """Load the first artifact, and from then on watch the digest file, if the digest comes from one."""
        await self._try(self.first)
        if self._settings.artifact_digest is None and self._settings.watch_seconds:
            self._watching = asyncio.create_task(self._watch(self._settings.watch_seconds))

    def end(self) -> None:
        """Say that this process will end: requests are still answered, but none should be sent."""
        self.ending = True
        self._metrics.ready.set(0)

    @property
    def unready(self) -> str | None:
        """Why no predictions should be asked for; None if they should."""
        if self.ending:
            return "the process is ending"
        if self.current is None:
            return self.refused or "the model is being loaded"
        return None

    async def look(self) -> None:
        """Serve the artifact that the digest file names now, if it is another and can be served."""
        try:
            digest = self._settings.expected_digest()
            if digest == self.artifact.digest:
                return
            artifact = await asyncio.to_thread(Artifact.open, self._settings.artifact, digest)
            self._check_contract(artifact)
        except ArtifactRefused as error:
            self._refuse(str(error))
            return
        await self._try(artifact)

    async def close(self) -> None:
        """Stop watching, and score what waits."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for model in (self.current, self.previous):
            if model is not None:
                await model.scorer.close()

    async def _watch(self, seconds: float) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.look()
            except Exception:
                log.exception("looking for a new artifact failed; the one that serves goes on")

    async def _try(self, artifact: Artifact) -> None:
        """Load an artifact in a thread, and let it answer if it is proved."""
        settings = self._settings
        try:
            scorer = await asyncio.to_thread(load, artifact, self._metrics.micro_batch, **settings.batching())
        except SklineError as error:
            self._refuse(f"{artifact.version}: {error}")
            return
        retired, self.previous = self.previous, self.current
        self.current = Model(
            artifact,
            scorer,
            Answers(
                artifact.version,
                artifact.contract.classes,
                digest=artifact.digest,
                path=scorer.scoring.path,
                half_width=half_width_of(artifact),
            ),
        )
        self.refused = None
        self._metrics.loaded(artifact, scorer)
        log.info("%s is ready", artifact.version)
        if retired is not None:
            await retired.scorer.close()

    def _refuse(self, reason: str) -> None:
        """Note why an artifact is not served; the same reason is logged and counted once."""
        if reason != self.refused:
            self.refused = reason
            self._metrics.artifact_refused.inc()
            log.error("an artifact is refused, %s: %s", "the last good one goes on" if self.current else "none", reason)

    def _check_contract(self, artifact: Artifact) -> None:
        """Refuse an artifact of another contract: the routes were made for the first's."""
        if artifact.contract.digest() != self.first.contract.digest():
            raise ArtifactRefused(
                f"{artifact.version} has another contract than {self.first.version}; restart the service to serve it"
            )
