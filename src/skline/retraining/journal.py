"""The journal of retraining: every decision with its evidence, every training with its result, and people's holds.

`retraining.jsonl` is in the folder of the log, next to what monitoring remembers, and not in `releases/`. Both the
evidence and the next decision are about this log, whichever of several machines serves from it; a daily decision in git
would change the working tree of a project in which nothing changed, and DVC would assess the model again. What other
clones need of a training is in git: the snapshots' `.dvc` files, `dvc.lock`, and `releases/registered.jsonl`.

Lines are only ever appended, each flushed to the disk. A line that a power failure cut off is left out when reading.
"""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from skline.errors import SklineError
from skline.files import append_line, read_json_lines
from skline.retraining.decision import Decision, Evidence, Hold

FILE_NAME = "retraining.jsonl"
#: The lock that `skline retrain` holds, in the folder of the log.
LOCK_NAME = ".retrain.lock"
#: registered: a new challenger; canary: it gets a share of the traffic; promoted: it serves; unchanged: an artifact
#: that was registered or in service before; rejected: a gate failed, or the canary was ended; failed: the pipeline
#: ended with an error, so that it does not count as a training.
Outcome = Literal["registered", "canary", "promoted", "unchanged", "rejected", "failed"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Training(_Value):
    """The result of a training.

    Attributes
    ----------
    outcome : Outcome
    labels_until : datetime
        The labels that matured until then were available; the next decision counts later ones.
    snapshot : str or None
        The snapshot that was added; None if no label had matured.
    artifact_sha256, version : str or None
        Of the candidate, and of the registered version (NAME/NUMBER).
    champion_sha256 : str or None
        Of the champion that the gates compared it with.
    promotion : str or None
        How the version is to be promoted by this run and the next ones; None if it is not.
    promote_at : datetime or None
        The planned end of the canary.
    message : str
        The verdict of the gates, the error, or how the promotion ended.
    """

    outcome: Outcome
    labels_until: AwareDatetime
    snapshot: str | None = None
    artifact_sha256: str | None = None
    version: str | None = None
    champion_sha256: str | None = None
    promotion: Literal["canary", "full"] | None = None
    promote_at: AwareDatetime | None = None
    message: str = ""


class Entry(_Value):
    """One line: a decision, the result of a training, or the beginning or end of a hold.

    Attributes
    ----------
    time : datetime
        Of the decision (`--asof`, by default now) or of the event, UTC.
    who : str
    kind : str
        `resume` ends a hold.
    reason : str
        A person's reason.
    dry_run : bool
    """

    format: Literal[1] = 1
    time: AwareDatetime
    who: str
    kind: Literal["decision", "training", "hold", "resume"]
    reason: str = ""
    dry_run: bool = False
    until: AwareDatetime | None = None
    decision: Decision | None = None
    evidence: Evidence | None = None
    training: Training | None = None

    @property
    def sentence(self) -> str:
        """What the line says."""
        if self.decision is not None:
            return self.decision.sentence
        if self.training is not None:
            version = f" {self.training.version}" if self.training.version else ""
            return f"{self.training.outcome}{version}: {self.training.message}"
        if self.until is not None:
            return f"no training before {self.until:%Y-%m-%d %H:%M} ({self.reason})"
        return f"the hold ends ({self.reason})" if self.reason else "the hold ends"


class _Format(BaseModel):
    """The format of any line, also of a later engine."""

    format: int = 1


class Journal(_Value):
    """The entries that can be read, oldest first, and the numbers of the lines that cannot."""

    entries: tuple[Entry, ...] = ()
    damaged_lines: tuple[int, ...] = ()

    def up_to(self, now: dt.datetime) -> "Journal":
        """Return the journal as it was at a moment."""
        return self.model_copy(update={"entries": tuple(each for each in self.entries if each.time <= now)})

    @property
    def last_training(self) -> Entry | None:
        """The last training that ended with a verdict; one that failed can be repeated at once."""
        return _last(each for each in self.entries if each.training is not None and each.training.outcome != "failed")

    @property
    def last_cooldown(self) -> Entry | None:
        """The last training that begins a cooldown: it added labels, or led to a version that was not there before.

        Without both it changed nothing, and the next training needs labels that it did not have.
        """
        return _last(
            each
            for each in self.entries
            if each.training is not None
            and each.training.outcome != "failed"
            and (each.training.outcome != "unchanged" or each.training.snapshot is not None)
        )

    @property
    def labels_until(self) -> dt.datetime | None:
        """Up to when the last training had the labels."""
        entry = self.last_training
        return None if entry is None or entry.training is None else entry.training.labels_until

    @property
    def unfinished_promotion(self) -> Training | None:
        """The last training if its version is to be promoted, and neither promoted nor rejected yet."""
        entry = self.last_training
        training = None if entry is None else entry.training
        if training is None or training.promotion is None or training.outcome in ("promoted", "rejected"):
            return None
        return training

    @property
    def last_reason(self) -> str:
        """What the last decision to train says."""
        decided = (each.decision for each in reversed(self.entries) if not each.dry_run)
        return next((each.sentence for each in decided if each is not None and each.retrain), "")

    @property
    def hold(self) -> Hold | None:
        """The last hold, unless it was ended; it may be over."""
        entry = _last(each for each in self.entries if each.kind in ("hold", "resume"))
        if entry is None or entry.until is None:
            return None
        return Hold(who=entry.who, until=entry.until, reason=entry.reason)


def read_journal(folder: Path) -> Journal:
    """Read the journal in the folder of a log; without a file it is empty.

    Raises
    ------
    SklineError
        If the file cannot be read, or a line has a newer format: it may be a hold.
    """
    path = folder / FILE_NAME
    lines = read_json_lines(path, Entry)
    formats = read_json_lines(path, _Format).values if lines.damaged_lines else ()
    newest = max((each.format for each in formats), default=1)
    if newest > 1:
        raise SklineError(f"{path} has lines of format {newest}, and this version of skline reads 1; upgrade skline")
    return Journal(entries=lines.values, damaged_lines=lines.damaged_lines)


def append_entry(folder: Path, entry: Entry) -> None:
    """Append a line durably; SklineError if it cannot be written."""
    append_line(folder / FILE_NAME, entry.model_dump_json(exclude_none=True).encode())


def _last(entries: Iterable[Entry]) -> Entry | None:
    return next(iter(reversed(list(entries))), None)
