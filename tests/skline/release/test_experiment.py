"""Which entities are in an experiment: stable, independent of other experiments, and kept as the share grows."""

import datetime as dt
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from skline.release.experiment import BUCKETS, Design, Experiment, RampStep, bucket
from tests.fixtures import demo

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
entities = st.one_of(st.integers(), st.text(max_size=20))


def test_a_bucket_is_the_same_in_every_process_with_any_hash_seed() -> None:
    names = ["anna", "müller", 12, ""]
    here = [bucket("salt", "canary-1", name) for name in names]
    code = f"from skline.release.experiment import bucket; print([bucket('salt', 'canary-1', n) for n in {names!r}])"
    for seed in ("1", "2"):
        process = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=demo.ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "src"},
        )  # fmt: skip
        assert process.stdout.strip() == str(here)


@given(entities)
def test_a_number_and_its_text_are_the_same_entity(entity: object) -> None:
    assert bucket("s", "e", entity) == bucket("s", "e", str(entity))
    assert 0 <= bucket("s", "e", entity) < BUCKETS


@given(entities, st.integers(0, BUCKETS), st.integers(0, BUCKETS))
def test_entities_of_a_smaller_share_are_among_those_of_a_larger_share(
    entity: object, share: int, other_share: int
) -> None:
    smaller, larger = sorted((share, other_share))
    assert not bucket("s", "e", entity) < smaller or bucket("s", "e", entity) < larger


def test_buckets_are_uniform_and_two_experiments_divide_independently() -> None:
    entity_ids = range(40_000)
    first = [bucket("a", "canary-1", entity) * 20 // BUCKETS for entity in entity_ids]
    second = [bucket("a", "canary-2", entity) * 20 // BUCKETS for entity in entity_ids]
    salted = [bucket("b", "canary-1", entity) * 20 // BUCKETS for entity in entity_ids]
    assert stats.chisquare([first.count(part) for part in range(20)]).pvalue > 1e-4
    for other in (second, salted):
        table = [[0] * 20 for _ in range(20)]
        for x, y in zip(first, other, strict=True):
            table[x][y] += 1
        assert stats.chi2_contingency(table).pvalue > 1e-4


def test_a_ramp_rises_with_time_and_must_not_fall() -> None:
    steps = (RampStep(after_seconds=0, weight=500), RampStep(after_seconds=60, weight=2000))
    ramp = Experiment(name="x", kind="canary", salt="s", started_at=NOW, steps=steps)
    moments = [-5, 0, 59, 60, 10**6]
    assert [ramp.weight_at(NOW + dt.timedelta(seconds=s), 500) for s in moments] == [500, 500, 500, 2000, 2000]
    with pytest.raises(ValidationError, match="must rise"):
        Experiment(name="x", kind="canary", salt="s", started_at=NOW, steps=steps[::-1])


def test_designs_of_earlier_versions_are_read_if_their_boundary_and_alpha_still_hold() -> None:
    design = Design(kpi="label", better="higher", units=1000, looks=4)
    fields = design.model_dump()
    assert Design.model_validate(fields | {"boundary": "obrien-fleming", "alpha": 0.05}) == design
    for change in ({"boundary": "pocock", "alpha": 0.05}, {"boundary": "obrien-fleming", "alpha": 0.1}):
        with pytest.raises(ValidationError, match="is not supported any more"):
            Design.model_validate(fields | change)
