"""Tell a webhook about changes of the states, each at most once.

The message is stored before it is posted, and what it told after: a monitor that is killed in between does not know
whether it arrived. The next run then does not post it again, but reports and counts it. A message that certainly did
not arrive is posted by the next run, with the states of then.
"""

import datetime as dt
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from skline.errors import SklineError
from skline.monitoring.result import WindowResult
from skline.monitoring.state import Message, MonitorState, Notification, ToldState, write_state
from skline.monitoring.webhook import Delivery, deliver, read_address
from skline.redaction import redact
from skline.settings.monitor import Webhook

log = logging.getLogger("skline.monitoring")

ALL = "all"


@dataclass(frozen=True)
class News:
    """What a run may tell: the states by part and of `all`, a sentence, and what they are about."""

    states: Mapping[str, ToldState]
    sentence: str
    subject: str

    @classmethod
    def of_result(cls, result: WindowResult) -> Self:
        """Return the news of a window."""
        states: dict[str, ToldState] = {str(part): state for part, state in result.states.items()}
        return cls(
            states | {ALL: result.state},
            result.sentence,
            f"Window {result.window.name}, model {result.window.model_version}",
        )

    @classmethod
    def of_failure(cls, error: Exception, version: str) -> Self:
        """Return the news that monitoring failed. The message of an unexpected error may hold values of rows."""
        reason = redact(str(error)) if isinstance(error, SklineError) else type(error).__name__
        return cls(
            {ALL: "failed"}, f"Nothing is known about data and model until it runs: {reason}", f"Model {version}"
        )


def notify(
    folder: Path, state: MonitorState, length: str, news: News, title: str, settings: Webhook, now: dt.datetime
) -> MonitorState:
    """Post a message if the states have changed since the last one; return the new state, which is written.

    A failure to post is logged and counted, and raises nothing. Call it while holding `monitor_lock`, so that two
    monitors do not tell the same.

    Parameters
    ----------
    folder : Path
        Of the state.
    length : str
        Of the windows; those of another length are told separately.
    title : str
        Of the model.

    Raises
    ------
    OSError
        If the state cannot be written; then nothing is posted.
    """
    told = state.notifications.get(length, Notification())
    if told.pending is not None:
        log.warning(
            "webhook: message %s of %s may have been delivered or not, because the monitor was stopped while it was "
            "being posted; it is not posted again",
            told.pending.id, f"{told.pending.created_at:%Y-%m-%d %H:%M:%S}",
        )  # fmt: skip
        told = as_told(told.pending)
        state = _write(folder, state.with_notification(length, told, failures=1))
    try:
        address = read_address(settings)
    except SklineError as error:
        log.warning("%s", error)
        return _write(folder, state.with_notification(length, told, failures=1))
    if not is_due(told, news.states, now, settings.cooldown):
        return state
    message = Message(id=uuid.uuid4().hex, created_at=now, states={**told.states, **news.states})
    state = _write(folder, state.with_notification(length, told.model_copy(update={"pending": message})))
    delivery = deliver(address, message_text(title, news, told.states, message.id), message.id, settings)
    return _write(folder, _after(state, length, told, message, delivery))


def _after(state: MonitorState, length: str, told: Notification, message: Message, delivery: Delivery) -> MonitorState:
    """Return the state after a message was posted; log a failure."""
    if delivery.outcome == "delivered":
        return state.with_notification(length, as_told(message))
    if delivery.outcome == "unknown":
        log.warning(
            "webhook: message %s may have been delivered or not, and is not posted again: %s",
            message.id, delivery.reason,
        )  # fmt: skip
        return state.with_notification(length, as_told(message), failures=1)
    log.warning("webhook: message %s was not delivered, the next run posts it: %s", message.id, delivery.reason)
    return state.with_notification(length, told, failures=1)


def as_told(message: Message) -> Notification:
    """Return what a message has told."""
    return Notification(states=message.states, told_at=message.created_at)


def changes(told: Mapping[str, ToldState], states: Mapping[str, ToldState]) -> dict[str, tuple[ToldState, ToldState]]:
    """Return the parts whose state differs from the one told, with both; what was never told was ok."""
    return {part: (told.get(part, "ok"), state) for part, state in states.items() if state != told.get(part, "ok")}


def is_due(told: Notification, states: Mapping[str, ToldState], now: dt.datetime, cooldown: dt.timedelta) -> bool:
    """Whether to post: a state has changed, and either the cooldown is over or there is a new alarm or failure."""
    changed = changes(told.states, states)
    if told.told_at is None or now - told.told_at >= cooldown:
        return bool(changed)
    return any(after in ("alarm", "failed") for _, after in changed.values())


def message_text(title: str, news: News, told: Mapping[str, ToldState], message_id: str) -> str:
    """Return the text of a message, in which Slack's control characters are escaped: column names are data."""
    before, state = told.get(ALL, "ok"), news.states[ALL]
    if state == before:
        headline = f"still {state}, and its parts have changed"
    else:
        words = {"ok": "recovered", "failed": "monitoring failed"}
        headline = f"{words.get(state, state)} (was {before})"
    changed = changes(told, news.states)
    lines = [
        f"{title}: " + headline.replace("_", " "),
        news.sentence,
        *(f"• {part}: {old} → {new}".replace("_", " ") for part, (old, new) in changed.items() if part != ALL),
        f"{news.subject}, message {message_id[:8]}",
    ]
    return "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _write(folder: Path, state: MonitorState) -> MonitorState:
    write_state(folder, state)
    return state
