"""The decision is a pure function: blockers win, harm never turns yes into no, and without a reason it is no."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.retraining.decision import OVERRIDDEN, Decision, Evidence, Hold, Policy, WindowEvidence, decide
from skline.settings.retrain import Retrain

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)

windows = st.builds(
    WindowEvidence,
    name=st.just("w"),
    end=st.just(NOW),
    performance=st.sampled_from([None, False, True]),
    concept=st.booleans(),
    drift=st.none() | st.floats(0, 1),
)
moments = st.none() | st.integers(0, 400).map(lambda days: NOW - days * DAY)
holds = st.builds(Hold, who=st.just("eve"), until=st.integers(-3, 3).map(lambda d: NOW + d * DAY), reason=st.just("x"))
evidences = st.builds(
    Evidence,
    windows=st.lists(windows, max_size=3).map(tuple),
    quality_alarm=st.booleans(),
    below_since=moments,
    new_labels=st.integers(0, 2_000),
    model_since=moments,
    last_training=moments,
    experiment=st.none() | st.just("canary-3"),
    hold=st.none() | holds,
    is_locked=st.booleans(),
    contract_fault=st.none() | st.just("none of 3 labelled predictions keeps the contract"),
)
policies = st.builds(
    Policy,
    settings=st.builds(
        Retrain,
        performance=st.booleans(),
        concept=st.booleans(),
        drift=st.none() | st.floats(0, 1),
        max_age=st.none() | st.integers(1, 300).map(lambda days: days * DAY),
        recovery=st.none() | st.integers(1, 400).map(lambda days: days * DAY),
        new_labels=st.none() | st.integers(1, 2_000),
        min_labels=st.integers(1, 1_000),
        cooldown=st.integers(1, 60).map(lambda days: days * DAY),
    ),
    persist=st.integers(1, 3),
)
persons = st.none() | st.just("the table was corrected")


def harmed(window: WindowEvidence) -> WindowEvidence:
    return window.model_copy(update={"performance": True, "concept": True, "drift": 1.0})


@given(evidences, policies, persons, st.data())
def test_more_evidence_of_harm_never_turns_yes_into_no(
    evidence: Evidence, policy: Policy, person: str | None, data: st.DataObject
) -> None:
    older = tuple(map(harmed, data.draw(st.lists(windows, max_size=2))))
    worse: dict[str, Any] = {
        "windows": tuple(harmed(each) if data.draw(st.booleans()) else each for each in evidence.windows) + older,
        "new_labels": evidence.new_labels + data.draw(st.integers(0, 1_000)),
    }
    if evidence.below_since is None:
        worse["below_since"] = data.draw(moments)
    if evidence.model_since is not None:
        worse["model_since"] = evidence.model_since - data.draw(st.integers(0, 100)) * DAY
    before = decide(evidence, policy, NOW, person)
    after = decide(evidence.model_copy(update=worse), policy, NOW, person)
    assert after.retrain or not before.retrain
    assert {each.kind for each in before.reasons} <= {each.kind for each in after.reasons}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("lock", {"is_locked": True}),
        ("hold", {"hold": Hold(who="eve", until=NOW + DAY, reason="audit")}),
        ("experiment", {"experiment": "canary-3"}),
        ("quality", {"quality_alarm": True}),
        ("labels", {"new_labels": 0}),
        ("cooldown", {"last_training": NOW}),
    ],
)
@given(evidence=evidences, policy=policies, person=persons)
def test_blocker_always_wins(
    kind: str, change: dict[str, Any], evidence: Evidence, policy: Policy, person: str | None
) -> None:
    decision = decide(evidence.model_copy(update=change), policy, NOW, person)
    is_overridden = person is not None and kind in OVERRIDDEN
    assert (kind in {each.kind for each in decision.blockers}) == (not is_overridden)
    assert is_overridden or not decision.retrain


@given(evidences, policies, persons)
def test_the_same_inputs_always_give_the_same_decision(evidence: Evidence, policy: Policy, person: str | None) -> None:
    decision = decide(evidence, policy, NOW, person)
    copy = Evidence.model_validate_json(evidence.model_dump_json())
    same_policy = Policy(Retrain.model_validate_json(policy.settings.model_dump_json()), policy.persist)
    same_moment = NOW.astimezone(dt.timezone(dt.timedelta(hours=9)))
    assert decide(evidence, policy, NOW, person) == decision
    assert decide(copy, same_policy, same_moment, person) == decision


@given(evidences, policies, persons)
def test_training_needs_a_reason_and_no_blocker(evidence: Evidence, policy: Policy, person: str | None) -> None:
    decision = decide(evidence, policy, NOW, person)
    assert decision.retrain == (bool(decision.reasons) and not decision.blockers)
    assert Decision.model_validate_json(decision.model_dump_json()) == decision
    assert decision.sentence


@given(policies)
def test_no_evidence_is_no(policy: Policy) -> None:
    assert not decide(Evidence(new_labels=0), policy, NOW).retrain


def test_performance_has_to_persist() -> None:
    policy = Policy(Retrain(), persist=2)
    bad, good, unknown = (WindowEvidence(name="w", end=NOW, performance=each) for each in (True, False, None))
    assert not decide(Evidence(windows=(bad, good, unknown), new_labels=600), policy, NOW).retrain
    assert decide(Evidence(windows=(bad, good, bad), new_labels=600), policy, NOW).retrain
    assert not decide(Evidence(windows=(bad, good, bad), new_labels=499), policy, NOW).retrain


def test_age_and_labels_are_reasons_only_where_they_are_set() -> None:
    old = Evidence(model_since=NOW - 90 * DAY, new_labels=1_000)
    assert not decide(old, Policy(Retrain()), NOW).retrain
    assert decide(old, Policy(Retrain(max_age=90 * DAY)), NOW).retrain
    assert not decide(old, Policy(Retrain(max_age=91 * DAY)), NOW).retrain
    assert decide(old, Policy(Retrain(new_labels=1_000)), NOW).retrain


def test_versions_below_an_earlier_one_are_a_reason_for_a_limited_time() -> None:
    evidence = Evidence(below_since=NOW - 30 * DAY, new_labels=500)
    assert decide(evidence, Policy(Retrain()), NOW).reasons[0].kind == "recovery"
    assert not decide(evidence, Policy(Retrain(recovery=29 * DAY)), NOW).retrain
    assert not decide(evidence, Policy(Retrain(recovery=None)), NOW).retrain


def test_hold_and_cooldown_end() -> None:
    policy = Policy(Retrain(max_age=DAY, cooldown=7 * DAY))
    evidence = Evidence(
        model_since=NOW - 9 * DAY, last_training=NOW - 7 * DAY, new_labels=500,
        hold=Hold(who="eve", until=NOW, reason="audit"),
    )  # fmt: skip
    assert decide(evidence, policy, NOW).retrain
    assert not decide(evidence, policy, NOW - dt.timedelta(seconds=1)).retrain
