"""The evidence is that of the artifact in service, before the moment of the decision, from separate recent windows."""

import datetime as dt
from typing import Any

import pytest

from skline.monitoring.state import MonitorState, PastResult
from skline.release.manifest import Release
from skline.release.registered import RegisteredVersion
from skline.retraining.decision import Evidence
from skline.retraining.evidence import gather_evidence
from skline.retraining.journal import Journal
from skline.settings.monitor import Monitor
from tests.skline.retraining.conftest import DAY, NOW

DIGEST, OTHER = "a" * 64, "b" * 64
WEEK = 7 * DAY


def window(weeks: float, raised: dict[str, bool | None] | None = None, **fields: Any) -> PastResult:
    """Return a window that ended `weeks` before now."""
    end = NOW - weeks * WEEK
    values: dict[str, Any] = {
        "name": f"{end:%Y%m%dT%H}", "length": "7d", "artifact_digest": DIGEST, "start": end - WEEK, "end": end,
        "written_at": end, "state": "ok", "states": {}, "sentence": "", "rows": 1_000, "raised": raised or {},
    }  # fmt: skip
    return PastResult(**values | fields)


def evidence(*windows: PastResult, now: dt.datetime = NOW, **fields: Any) -> Evidence:
    values: dict[str, Any] = {
        "state": MonitorState(windows=windows), "monitor": Monitor(), "digest": DIGEST, "release": None,
        "registered": (), "journal": Journal(), "new_labels": 0, "now": now, "is_locked": False,
    }  # fmt: skip
    return gather_evidence(**values | fields)


BAD, GOOD = {"performance/floor/roc_auc": True, "performance/floor/brier": False}, {"performance/floor/brier": False}


def test_windows_are_the_last_ones_that_do_not_overlap() -> None:
    found = evidence(window(3, BAD), window(2, GOOD), window(1, {}), window(0.5, BAD), window(0, BAD))
    assert [each.performance for each in found.windows] == [True, None, False]
    assert [each.end for each in found.windows] == [NOW, NOW - WEEK, NOW - 2 * WEEK]


def test_windows_of_another_artifact_or_length_and_of_the_future_do_not_count() -> None:
    others = (window(1, BAD, artifact_digest=OTHER), window(0, BAD, length="1d"), window(-1, BAD))
    assert evidence(*others).windows == ()
    assert len(evidence(*others, now=NOW + WEEK).windows) == 1


def test_windows_of_a_monitor_that_has_stopped_do_not_count() -> None:
    assert len(evidence(window(2, BAD)).windows) == 1
    assert evidence(window(2.1, BAD)).windows == ()


def test_quality_alarm_is_that_of_the_newest_window() -> None:
    alarm: dict[str, Any] = {"states": {"quality": "alarm", "concept": "alarm"}}
    assert evidence(window(1), window(0, **alarm)).quality_alarm
    assert evidence(window(1), window(0, **alarm)).windows[0].concept
    assert not evidence(window(1, **alarm), window(0)).quality_alarm


@pytest.mark.parametrize(
    ("raised", "blocks"),
    [
        ({"quality/outside/ads": True}, False),
        ({"quality/outside/ads": True, "quality/unseen/a/b": True, "drift/effect/ads": True}, False),
        ({"quality/outside/ads": True, "quality/missing/speed": False}, False),
        ({"quality/outside/ads": True, "quality/missing/speed": True}, True),
        ({"quality/vanished/ads": True}, True),
        ({}, True),
    ],
)
def test_values_that_a_training_would_learn_do_not_block_it(raised: dict[str, bool | None], blocks: bool) -> None:
    assert evidence(window(0, raised, states={"quality": "alarm"})).quality_alarm is blocks


def test_age_is_that_of_the_version_in_service_and_an_experiment_is_named() -> None:
    lines = [
        RegisteredVersion(
            time=NOW - days * DAY, model="m", version="1", artifact_sha256=digest, contract_sha256="c",
            git_commit=None, verdict=None, verdict_sha256=None,
        )
        for days, digest in ((9, OTHER), (8, DIGEST), (3, DIGEST))
    ]  # fmt: skip
    arm = {"version": "m/1", "artifact": "artifacts/x", "sha256": DIGEST}
    release = Release.model_validate(
        {
            "number": 2, "published_at": NOW,
            "experiment": {"name": "shadow-2", "kind": "shadow", "salt": "s", "started_at": NOW},
            "arms": [{"name": "champion", "weight": 10_000} | arm, {"name": "challenger", "mode": "shadow"} | arm],
        }
    )  # fmt: skip
    found = evidence(registered=lines, release=release)
    assert found.model_since == NOW - 8 * DAY
    assert found.experiment == "shadow-2"
