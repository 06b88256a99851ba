"""A shadow model: it scores, in a thread, the rows that the champion has predicted. Only the log gets its results."""

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence

from skline.clock import now_us
from skline.contract.spec import Value
from skline.logs.records import Prediction
from skline.logs.writer import PredictionLog
from skline.serving.models.model import LoadedModel
from skline.serving.models.response import check_rows

log = logging.getLogger("skline.serving")

#: A shadow's prediction id is the id of the champion's prediction that it is compared with, and this suffix.
ID_SUFFIX = ".shadow"
#: Rows scored at a time: few, because the thread shares the interpreter with the threads that serve requests.
MAX_ROWS = 64
#: Seconds between two reads of the queue; rows that arrive in between are scored together.
POLL_SECONDS = 0.05


class ShadowScorer:
    """Takes the champion's predictions from a bounded queue; rows that do not fit are dropped and counted.

    Attributes
    ----------
    scored, dropped, failed : int
        Rows by outcome.
    """

    def __init__(
        self,
        challenger: LoadedModel,
        columns: tuple[str, ...] | None,
        max_queued: int,
        prediction_log: PredictionLog,
    ) -> None:
        self.scored = self.dropped = self.failed = 0
        self._challenger, self._columns = challenger, columns
        self._max_queued, self._prediction_log = max_queued, prediction_log
        self._queue: deque[Prediction] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows in the queue."""
        return len(self._queue)

    def submit(self, records: Sequence[Prediction]) -> None:
        """Queue the champion's predictions; never waits."""
        free = max(self._max_queued - len(self._queue), 0)
        self._queue.extend(records[:free])
        self.dropped += max(len(records) - free, 0)

    def close(self) -> None:
        """End the thread; rows that wait are dropped."""
        self._stopping.set()
        self._thread.join()
        self.dropped += len(self._queue)
        self._queue.clear()

    def _run(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            while self._queue and not self._stopping.is_set():
                records = [self._queue.popleft() for _ in range(min(MAX_ROWS, len(self._queue)))]
                try:
                    self._score(records)
                except Exception as error:  # noqa: BLE001 - a shadow's failure must not affect the service
                    if not self.failed:
                        log.warning(
                            "the shadow %s failed with %s", self._challenger.artifact.version, type(error).__name__
                        )
                    self.failed += len(records)

    def _score(self, records: Sequence[Prediction]) -> None:
        """Score rows, and log the result next to the champion's."""
        rows: list[Mapping[str, Value]] = [record.inputs for record in records]
        if self._columns is not None:
            rows = [{name: row[name] for name in self._columns} for row in rows]
        scores = self._challenger.scorer.score_rows(rows)
        check_rows(scores)
        now, builder = now_us(), self._challenger.response_builder
        contents = builder.rows(scores, [record.prediction_id + ID_SUFFIX for record in records])
        self._prediction_log.put_many(
            [
                record._replace(
                    prediction_id=content["prediction_id"],
                    time=now,
                    model_version=builder.version,
                    artifact_digest=builder.digest,
                    scoring_path=builder.path,
                    prediction=content["prediction"],
                    probabilities=content.get("probabilities"),
                    latency_us=None,
                    review=0,
                    role="shadow",
                    arm="challenger",
                )
                for record, content in zip(records, contents, strict=True)
            ]
        )
        self.scored += len(records)
