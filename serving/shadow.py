"""A challenger that nobody sees: it scores, in a thread, what the champion has answered, and the log keeps both."""

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from serving.answers import check_rows
from skline.contract.spec import Value
from skline.logs.records import Prediction, now_us

if TYPE_CHECKING:
    from serving.model import Model
    from skline.logs.writer import PredictionLog

log = logging.getLogger("skline.serving")

#: What the id of a shadow's row ends with; before it stands that of the answer it is compared with.
SUFFIX = ".shadow"
#: Rows scored at a time: few, as the thread shares the interpreter with those who answer.
BATCH = 64
#: Seconds between two looks at the queue; rows of that time are scored together.
PAUSE = 0.05


class Shadow:
    """Takes answers over a bounded queue; what does not fit is dropped and counted.

    Attributes
    ----------
    scored, dropped, failed : int
        Rows by what became of them.
    """

    def __init__(
        self, challenger: "Model", columns: tuple[str, ...] | None, size: int, written: "PredictionLog"
    ) -> None:
        self.scored = self.dropped = self.failed = 0
        self._challenger, self._columns, self._size, self._written = challenger, columns, size, written
        self._queue: deque[Prediction] = deque()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows in the queue."""
        return len(self._queue)

    def offer(self, records: Sequence[Prediction]) -> None:
        """Hand over what the champion has answered, as the log has it; never waits."""
        room = self._size - len(self._queue)
        self._queue.extend(records[: max(room, 0)])
        self.dropped += max(len(records) - room, 0)

    def close(self) -> None:
        """End the thread; what waits is dropped."""
        self._ending.set()
        self._thread.join()
        self.dropped += len(self._queue)
        self._queue.clear()

    def _run(self) -> None:
        while not self._ending.wait(PAUSE):
            while self._queue and not self._ending.is_set():
                some = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                try:
                    self._score(some)
                except Exception as error:  # noqa: BLE001 - whatever it is, nobody who was answered may notice
                    if not self.failed:
                        log.warning(
                            "the shadow %s failed with %s", self._challenger.artifact.version, type(error).__name__
                        )
                    self.failed += len(some)

    def _score(self, records: Sequence[Prediction]) -> None:
        """Score rows, and write them down beside the champion's."""
        rows: list[Mapping[str, Value]] = [record.inputs for record in records]
        if self._columns is not None:
            rows = [{name: row[name] for name in self._columns} for row in rows]
        scores = self._challenger.scorer.score_rows(rows)
        check_rows(scores)
        now, answers = now_us(), self._challenger.answers
        contents = answers.many(scores, [record.prediction_id + SUFFIX for record in records])
        self._written.put_many(
            [
                record._replace(
                    prediction_id=content["prediction_id"],
                    time=now,
                    model_version=answers.version,
                    artifact_digest=answers.digest,
                    path=answers.path,
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
