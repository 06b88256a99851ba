"""Post changes of the states to a webhook, each at most once.

A message is stored as pending before it is posted, and as posted after that: if a monitor is killed in between, it is
unknown whether the message arrived. The next run then does not post it again, but reports and counts it. A message that
certainly did not arrive is replaced by one of the next run, with the states at that time.
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
from skline.monitoring.state import Message, MonitorState, Notification, PostedState, write_state
from skline.monitoring.webhook import Delivery, deliver, read_address
from skline.redaction import redact
from skline.settings.monitor import Webhook

log = logging.getLogger("skline.monitoring")

ALL = "all"


@dataclass(frozen=True)
class News:
    """What a run may post: the states by part and of `all`, a sentence, and its subject: window and model."""

    states: Mapping[str, PostedState]
    sentence: str
    subject: str

    @classmethod
    def of_result(cls, result: WindowResult) -> Self:
        """Return the news of a window."""
        states: dict[str, PostedState] = {str(part): state for part, state in result.states.items()}
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
    monitors do not post the same.

    Parameters
    ----------
    folder : Path
        Of the state.
    length : str
        Of the windows; windows of another length have notifications of their own.
    title : str
        Of the model.

    Raises
    ------
    OSError
        If the state cannot be written; then nothing is posted.
    """
    posted = state.notifications.get(length, Notification())
    if posted.pending is not None:
        log.warning(
            "webhook: message %s of %s may have been delivered or not, because the monitor was stopped while it was "
            "being posted; it is not posted again",
            posted.pending.id, f"{posted.pending.created_at:%Y-%m-%d %H:%M:%S}",
        )  # fmt: skip
        posted = as_posted(posted.pending)
        state = _write(folder, state.with_notification(length, posted, failures=1))
    try:
        address = read_address(settings)
    except SklineError as error:
        log.warning("%s", error)
        return _write(folder, state.with_notification(length, posted, failures=1))
    if not is_due(posted, news.states, now, settings.cooldown):
        return state
    message = Message(id=uuid.uuid4().hex, created_at=now, states={**posted.states, **news.states})
    state = _write(folder, state.with_notification(length, posted.model_copy(update={"pending": message})))
    delivery = deliver(address, message_text(title, news, posted.states, message.id), message.id, settings)
    return _write(folder, _after(state, length, posted, message, delivery))


def _after(
    state: MonitorState, length: str, posted: Notification, message: Message, delivery: Delivery
) -> MonitorState:
    """Return the state after a message was posted; log a failure."""
    if delivery.outcome == "delivered":
        return state.with_notification(length, as_posted(message))
    if delivery.outcome == "unknown":
        log.warning(
            "webhook: message %s may have been delivered or not, and is not posted again: %s",
            message.id, delivery.reason,
        )  # fmt: skip
        return state.with_notification(length, as_posted(message), failures=1)
    log.warning("webhook: message %s was not delivered, the next run posts it: %s", message.id, delivery.reason)
    return state.with_notification(length, posted, failures=1)


def as_posted(message: Message) -> Notification:
    """Return the notification that a posted message becomes."""
    return Notification(states=message.states, told_at=message.created_at)


def changes(
    posted: Mapping[str, PostedState], states: Mapping[str, PostedState]
) -> dict[str, tuple[PostedState, PostedState]]:
    """Return the parts whose state differs from the one posted last, with both; a part that was never posted was ok."""
    return {part: (posted.get(part, "ok"), state) for part, state in states.items() if state != posted.get(part, "ok")}


def is_due(posted: Notification, states: Mapping[str, PostedState], now: dt.datetime, cooldown: dt.timedelta) -> bool:
    """Whether to post: a state has changed, and either the cooldown is over or there is a new alarm or failure."""
    changed = changes(posted.states, states)
    if posted.told_at is None or now - posted.told_at >= cooldown:
        return bool(changed)
    return any(after in ("alarm", "failed") for _, after in changed.values())


def message_text(title: str, news: News, posted: Mapping[str, PostedState], message_id: str) -> str:
    """Return the text of a message, in which Slack's control characters are escaped: column names are data."""
    before, state = posted.get(ALL, "ok"), news.states[ALL]
    if state == before:
        headline = f"still {state}, and its parts have changed"
    else:
        words = {"ok": "recovered", "failed": "monitoring failed"}
        headline = f"{words.get(state, state)} (was {before})"
    changed = changes(posted, news.states)
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
