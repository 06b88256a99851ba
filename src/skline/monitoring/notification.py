"""Tell a webhook about changes of the states, each at most once.

The message is stored before it is posted, and what it told after: a monitor that is killed in between does not know
whether it arrived. The next run then does not post it again, but reports and counts it. A message that certainly did
not arrive is posted by the next run, with the states of then.
"""

import datetime as dt
import logging
import uuid
from collections.abc import Mapping
from pathlib import Path

from skline.errors import SklineError
from skline.monitoring.checks import State
from skline.monitoring.result import WindowResult
from skline.monitoring.state import Message, MonitorState, Notification, write_state
from skline.monitoring.webhook import Delivery, deliver, read_address
from skline.settings.monitor import Webhook

log = logging.getLogger("skline.monitoring")

ALL = "all"


def notify(
    folder: Path, state: MonitorState, result: WindowResult, title: str, settings: Webhook, now: dt.datetime
) -> MonitorState:
    """Post a message if the states have changed since the last one; return the new state, which is written.

    A failure is logged and counted, and raises nothing. Call it while holding `monitor_lock`, so that two monitors do
    not tell the same.
    """
    length = result.window.length
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
    states = all_states(result)
    if not is_due(told, states, now, settings.cooldown):
        return state
    message = Message(id=uuid.uuid4().hex, created_at=now, states=states)
    state = _write(folder, state.with_notification(length, told.model_copy(update={"pending": message})))
    delivery = deliver(address, message_text(title, result, told.states, message.id), message.id, settings)
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


def all_states(result: WindowResult) -> dict[str, State]:
    """Return the states by part and of `all`."""
    return {ALL: result.state} | {str(part): state for part, state in result.states.items()}


def changes(told: Mapping[str, State], states: Mapping[str, State]) -> dict[str, tuple[State, State]]:
    """Return the parts whose state differs from the one told, with both; what was never told was ok."""
    return {part: (told.get(part, "ok"), state) for part, state in states.items() if state != told.get(part, "ok")}


def is_due(told: Notification, states: Mapping[str, State], now: dt.datetime, cooldown: dt.timedelta) -> bool:
    """Whether to post: a state has changed, and either the cooldown is over or there is a new alarm."""
    changed = changes(told.states, states)
    if told.told_at is None or now - told.told_at >= cooldown:
        return bool(changed)
    return any(after == "alarm" for _, after in changed.values())


def message_text(title: str, result: WindowResult, told: Mapping[str, State], message_id: str) -> str:
    """Return the text of a message, in which Slack's control characters are escaped: column names are data."""
    before, state = told.get(ALL, "ok"), result.state
    if state == before:
        headline = f"still {state}, in another part"
    else:
        headline = f"{'recovered' if state == 'ok' else state.replace('_', ' ')} (was {before.replace('_', ' ')})"
    changed = changes(told, all_states(result))
    lines = [
        f"{title}: {headline}",
        result.sentence,
        *(
            f"• {part}: {old.replace('_', ' ')} → {new.replace('_', ' ')}"
            for part, (old, new) in changed.items()
            if part != ALL
        ),
        f"Window {result.window.name}, model {result.window.model_version}, message {message_id[:8]}",
    ]
    return "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _write(folder: Path, state: MonitorState) -> MonitorState:
    write_state(folder, state)
    return state
