"""The version in service is compared with those before it, by the metric on their test parts."""

import datetime as dt
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.artifact import EVALUATION, MANIFEST, InvalidArtifact
from skline.monitoring.estimates import Estimate
from skline.release.journal import Entry
from skline.release.manifest import Arm, Release
from skline.retraining.served import Served, below_since, read_served

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def served(*values: float | None, name: str = "roc_auc", half: float = 0.01) -> list[Served]:
    return [
        Served(
            NOW + number * DAY, f"{number}", name,
            Estimate() if value is None else Estimate(value=value, low=value - half, high=value + half),
        )
        for number, value in enumerate(values)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "day"),
    [
        ((0.8,), None),
        ((0.8, 0.79), None),
        ((0.8, 0.6), 1),
        ((0.8, 0.6, 0.7), 1),
        ((0.8, 0.6, 0.79), None),
        ((0.6, 0.8, 0.7, 0.6), 2),
        ((0.8, None), None),
        ((), None),
    ],
)
def test_versions_are_below_the_best_one_that_served_before(values: tuple[float | None, ...], day: int | None) -> None:
    assert below_since(served(*values), 0.02) == (None if day is None else NOW + day * DAY)


def test_lower_values_of_a_loss_are_better_and_another_metric_is_not_compared() -> None:
    assert below_since(served(0.4, 0.6, name="log_loss"), 0.02) == NOW + DAY
    assert below_since(served(0.6, 0.4, name="log_loss"), 0.02) is None
    assert below_since([*served(0.9, name="pr_auc"), *served(0.6)], 0.02) is None


@given(st.lists(st.floats(0.5, 1), min_size=2, max_size=8), st.floats(0, 0.2))
def test_a_worse_version_in_service_never_looks_recovered(values: list[float], loss: float) -> None:
    before = below_since(served(*values), 0.02)
    after = below_since(served(*values[:-1], values[-1] - loss), 0.02)
    assert before is None or after is not None


def write_artifact(folder: Path, value: float) -> str:
    folder.mkdir(parents=True)
    results = json.dumps(
        {"metric": "roc_auc", "metrics": {"roc_auc": value}, "intervals": {"roc_auc": [value - 0.1, value + 0.1]}}
    )
    (folder / EVALUATION).write_text(results)
    manifest = json.dumps({"files": {EVALUATION: hashlib.sha256(results.encode()).hexdigest()}})
    (folder / MANIFEST).write_text(manifest)
    return hashlib.sha256(manifest.encode()).hexdigest()


def entry(number: int, artifact: str, digest: str) -> Entry:
    arm = Arm(name="champion", version=f"demo/{number}", artifact=artifact, sha256=digest, weight=10_000)
    release = Release(number=number, published_at=NOW + number * DAY, arms=(arm,))
    return Entry(time=NOW, who="eve", action="promote", what="", release=release)


def test_champions_of_releases_are_read_from_their_artifacts(tmp_path: Path) -> None:
    first, second = (write_artifact(tmp_path / f"artifacts/{number}", value) for number, value in ((1, 0.8), (2, 0.7)))
    history = [
        entry(4, "artifacts/gone", "f" * 64), entry(3, "artifacts/2", second), entry(2, "artifacts/2", second),
        entry(1, "artifacts/1", first),
    ]  # fmt: skip
    found = read_served(tmp_path, history, NOW + 9 * DAY)
    assert [(each.since, each.metric.value) for each in found] == [(NOW + DAY, 0.8), (NOW + 2 * DAY, 0.7)]
    assert found[0].metric.low == pytest.approx(0.7)
    assert [each.metric.value for each in read_served(tmp_path, history, NOW + DAY)] == [0.8]


@pytest.mark.parametrize("name", [MANIFEST, EVALUATION])
def test_results_that_were_changed_are_rejected(tmp_path: Path, name: str) -> None:
    digest = write_artifact(tmp_path / "artifacts/1", 0.8)
    (tmp_path / "artifacts/1" / name).write_text("{}")
    with pytest.raises(InvalidArtifact, match="it was changed"):
        read_served(tmp_path, [entry(1, "artifacts/1", digest)], NOW + DAY)
