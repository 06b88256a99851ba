"""A promotion ends once, whenever the process was killed, and a person's experiment is left alone."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.release.experiment import Design, Experiment
from skline.release.journal import Entry, Journal
from skline.release.manifest import Arm, Flags, Release
from skline.retraining.journal import Training
from skline.retraining.promotion import PREFIX, CanaryResult, Step, next_step, own_canary

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
CHAMPION, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64
FINE = CanaryResult(None, 3)


def arm(name: str, sha256: str, weight: int) -> Arm:
    return Arm(name=name, version=f"demo/{name}", artifact=f"artifacts/{sha256}", sha256=sha256, weight=weight)


def release(number: int, champion: str = CHAMPION, challenger: str | None = None, **fields: Any) -> Release:
    if challenger is None:
        return Release(number=number, published_at=NOW, arms=(arm("champion", champion, 10_000),), **fields)
    experiment = Experiment(
        name="canary-2",
        kind=fields.pop("kind", "canary"),
        salt="s",
        started_at=NOW - 2 * DAY,
        design=fields.pop("design", None),
    )
    arms = (arm("champion", champion, 9_000), arm("challenger", challenger, 1_000))
    return Release(number=number, published_at=NOW, arms=arms, experiment=experiment, **fields)


def entry(published: Release, action: Any = "promote", why: str = "") -> Entry:
    return Entry(time=NOW, who="ann@host", action=action, what="", why=why, release=published)


FIRST = entry(release(1))
OWN = entry(release(2, challenger=NEW), "canary", f"{PREFIX}labels")


def training(outcome: Any, promotion: Any = "canary", **fields: Any) -> Training:
    return Training(
        outcome=outcome, labels_until=NOW, artifact_sha256=NEW, version="demo/2", champion_sha256=CHAMPION,
        promotion=promotion, promote_at=NOW - DAY if outcome == "canary" else None, **fields,
    )  # fmt: skip


def step(each: Training, in_force: Release | None, *entries: Entry, **options: Any) -> Step:
    result = options.pop("result", FINE)
    return next_step(each, in_force, Journal(entries, ()), result, NOW, **options)


def test_registered_version_gets_a_canary_or_is_promoted() -> None:
    assert step(training("registered"), FIRST.release, FIRST).action == "start"
    assert step(training("registered", "full"), FIRST.release, FIRST).action == "promote"
    assert step(training("registered", "full"), None).action == "promote"
    assert step(training("registered"), None) == Step(
        "wait", "nothing is released yet that a canary could be compared with; `skline promote` releases it"
    )


def test_step_that_was_done_and_not_recorded_is_not_done_again() -> None:
    assert step(training("registered"), OWN.release, FIRST, OWN).action == "begun"
    promoted = entry(release(3, NEW), "promote", f"{PREFIX}labels")
    for outcome in ("registered", "canary"):
        assert step(training(outcome), promoted.release, FIRST, OWN, promoted).action == "promoted"
    aborted = entry(release(3), "abort", f"{PREFIX}errors: too many")
    assert step(training("canary"), aborted.release, FIRST, OWN, aborted) == Step(
        "rejected", f"the canary was ended: release 3, abort by ann@host ({PREFIX}errors: too many)"
    )


def test_canary_is_promoted_after_its_end_if_no_guard_is_breached() -> None:
    over = training("canary")
    assert step(over, OWN.release, FIRST, OWN).action == "promote"
    running = over.model_copy(update={"promote_at": NOW + DAY})
    assert step(running, OWN.release, FIRST, OWN).action == "wait"
    for each in (over, running):
        assert step(each, OWN.release, FIRST, OWN, result=CanaryResult("errors", 3)) == Step("abort", "errors")


@pytest.mark.parametrize(
    ("options", "flags", "message"),
    [
        ({"is_held": True}, Flags(), "a person put retraining on hold"),
        ({}, Flags(challenger=False), "the flag `challenger` is off"),
        ({"result": CanaryResult(None, 0)}, Flags(), "fewer than 200 observations"),
    ],
)
def test_canary_whose_guards_say_nothing_is_not_promoted(options: Any, flags: Flags, message: str) -> None:
    switched = entry(release(3, challenger=NEW, flags=flags), "flag", "a person's")
    found = step(training("canary"), switched.release, FIRST, OWN, switched, **options)
    assert found.action == "wait"
    assert message in found.message


def test_hold_stops_a_start_and_not_an_abort() -> None:
    assert step(training("registered"), FIRST.release, FIRST, is_held=True).action == "wait"
    breached = step(training("canary"), OWN.release, FIRST, OWN, result=CanaryResult("errors", 1), is_held=True)
    assert breached.action == "abort"


def test_version_that_was_compared_with_another_champion_is_rejected() -> None:
    other = entry(release(2, OTHER))
    found = step(training("registered", "full"), other.release, FIRST, other)
    assert found.action == "rejected"
    assert "it was compared with aaaaaaaaaaaa, and the champion is demo/champion now" in found.message


PERSONS = [
    entry(release(2, challenger=NEW), "canary", "tried by hand"),
    entry(release(2, challenger=OTHER), "canary", "another version"),
    entry(
        release(2, challenger=NEW, kind="ab", design=Design(kpi="correct", better="higher", units=100)),
        "ab",
        f"{PREFIX}no canary",
    ),
]


@given(
    st.sampled_from(PERSONS),
    st.sampled_from(["registered", "canary"]),
    st.sampled_from(["full", "canary"]),
    st.booleans(),
    st.sampled_from([FINE, CanaryResult("errors", 1), CanaryResult(None, 0)]),
)
def test_experiment_of_a_person_is_never_touched(
    persons: Entry, outcome: str, promotion: str, held: bool, result: CanaryResult
) -> None:
    each = training(outcome, promotion)
    assert own_canary(each, persons.release, Journal((FIRST, persons), ())) is None
    found = step(each, persons.release, FIRST, persons, result=result, is_held=held)
    assert found.action in ("wait", "rejected"), "neither changes a release"


def test_canary_that_a_person_has_widened_is_the_persons() -> None:
    ramp = entry(release(3, challenger=NEW), "ramp", "it looks good")
    found = step(training("canary"), ramp.release, FIRST, OWN, ramp)
    assert found == Step("rejected", "the canary was ended: release 3, ramp by ann@host (it looks good)")
