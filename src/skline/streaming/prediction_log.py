"""The prediction log of a stream: that of the service, but the stream waits where the service would drop rows."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from skline.batch.part import PartScorer, to_frame
from skline.clock import now_us
from skline.contract.frames import to_rows
from skline.errors import SklineError
from skline.logs.columns_text import rows_text
from skline.logs.records import Prediction
from skline.logs.request_rows import RequestRows
from skline.logs.settings import LogSettings
from skline.logs.writer import NotDurable, PredictionLog
from skline.streaming.message_scorer import ScoredRows

#: Seconds between two looks at a full queue, and for which it may stay full while the database works.
WAIT_SECONDS, MAX_WAIT_SECONDS = 0.01, 120.0


class StreamLog:
    """Logs the predictions of a stream; a context manager ends the writer's thread.

    Parameters
    ----------
    settings : LogSettings
        Those of the service.
    role : str
        The column `role`: champion or challenger.

    Attributes
    ----------
    log : PredictionLog
    """

    def __init__(self, settings: LogSettings, role: str = "champion") -> None:
        self._settings, self._role = settings, role
        self.log = PredictionLog(settings)
        self._runner = asyncio.Runner()

    def __enter__(self) -> "StreamLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()
        self._runner.close()

    def add(self, parts: Sequence[ScoredRows], ids: Sequence[str]) -> None:
        """Log the predictions of a batch.

        Parameters
        ----------
        parts : sequence of ScoredRows
        ids : sequence of str
            The prediction id of each message of the batch.

        Raises
        ------
        SklineError
            Only in sync mode: if the rows are not durable in time.
        """
        if self._settings.mode == "off":
            return
        for rows in parts:
            own = [ids[position] for position in rows.positions]
            if self.log.accepts_request_rows:
                self._wait_for_space(1)
                self.log.put_request(self._as_request(rows, own))
            else:
                self._add_records(self._as_records(rows, own))

    def _shared(self, scorer: PartScorer) -> Prediction:
        """Return what the rows of a batch share."""
        return Prediction("", now_us(), scorer.version, scorer.digest, scorer.scoring.path, {}, 0, role=self._role)

    def _as_request(self, rows: ScoredRows, ids: Sequence[str]) -> RequestRows:
        """Return rows as one entry of the log's queue."""
        contract, scores = rows.scorer.contract, rows.scores
        text = rows_text(contract.inputs, rows.columns, scores, contract.class_names, rows.lookups)
        names = ["inputs", "prediction"]
        names += ["probabilities"] * (scores.probabilities is not None) + ["lookups"] * bool(rows.lookups)
        return RequestRows.of_text(self._shared(rows.scorer), "".join(ids).encode(), tuple(names), text)

    def _as_records(self, rows: ScoredRows, ids: Sequence[str]) -> list[Prediction]:
        """Return rows one by one, for a log that selects inputs, hashes an entity, or makes callers wait."""
        shared, contract = self._shared(rows.scorer), rows.scorer.contract
        inputs = to_rows(contract.inputs, to_frame(contract.inputs, rows.columns))
        records = []
        for position, (prediction_id, row, content) in enumerate(zip(ids, inputs, rows.contents, strict=True)):
            fields: dict[str, Any] = {
                "prediction": content["prediction"],
                "probabilities": content.get("probabilities"),
            }
            if rows.lookups:
                fields["lookups"] = {name: found[position] for name, found in rows.lookups.items()}
            records.append(shared._replace(prediction_id=prediction_id, inputs=row, **fields))
        return records

    def _add_records(self, records: list[Prediction]) -> None:
        """Log rows one by one; in sync mode until they are durable."""
        size = min(self._settings.batch_rows, self._settings.queue_rows)
        for start in range(0, len(records), size):
            chunk = records[start : start + size]
            if self._settings.mode != "sync":
                self._wait_for_space(len(chunk))
            try:
                self._runner.run(self.log.append(chunk))
            except NotDurable as error:
                raise SklineError(
                    f"{error}; no offset of the batch is committed: start again, and its messages are processed again"
                ) from error

    def _wait_for_space(self, rows: int) -> None:
        """Wait until the queue has space, unless the database fails: then rows are dropped and counted."""
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while (stats := self.log.stats()).queued + rows > stats.queue_rows and stats.last_error is None:
            if time.monotonic() > deadline:
                return
            time.sleep(WAIT_SECONDS)
