"""What a report says of logs whose truth is known, and what it refuses to say."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from skline.logs.entity import EntityHasher
from skline.logs.labels import Label, Labels
from skline.logs.partitions import PREDICTION_SCHEMA
from skline.logs.records import Encoder, Prediction, new_prediction_id, now_us
from skline.logs.settings import LogSettings
from skline.logs.store import open_store
from skline.release.experiment import Design, Experiment, bucket
from skline.release.manifest import Arm, Release
from skline.release.report import Finding, report
from tests import demo
from tests.skline.release.project import make

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DESIGN = Design(kpi="label", better="higher", units=1000, boundary="obrien-fleming", looks=4)


def release(kind: Any, weight: int = 5000, design: Design | None = None) -> Release:
    def arm(name: str, digit: str, share: int) -> Arm:
        mode: Any = "shadow" if kind == "shadow" and name == "challenger" else "live"
        return Arm(name=name, version=f"demo/{digit}", artifact="x", sha256=digit * 64, weight=share, mode=mode)

    share = 0 if kind == "shadow" else weight
    experiment = Experiment(name="e", kind=kind, salt="s", started_at=NOW, design=design)
    arms = arm("champion", "1", 10_000 - share), arm("challenger", "2", share)
    return Release(number=2, published_at=NOW, arms=arms, experiment=experiment)


def table(rows: list[dict[str, Any]]) -> pa.Table:
    """A labelled log of rows, of which each is told by what matters."""
    schema = PREDICTION_SCHEMA.append(pa.field("label", pa.string()))
    always = {"inputs": "{}", "prediction": "1.0", "experiment": "e", "bucket": 1, "review": False, "latency_us": 100}
    full = [
        always
        | {"prediction_id": f"p{n}", "time": NOW + dt.timedelta(seconds=n), "role": row.get("arm", "champion")}
        | row
        for n, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(full, schema=schema)


def division(units: int, lift: float, share: float = 0.5, seed: int = 1, labelled: float = 1) -> pa.Table:
    """Entities of both arms, of whom a fifth, and `lift` more with the challenger, have the label 1."""
    rng = np.random.default_rng(seed)
    rows = []
    for unit in range(units):
        arm = "challenger" if rng.random() < share else "champion"
        label = int(rng.random() < 0.2 + lift * (arm == "challenger"))
        known = unit < units * labelled
        rows.append({"entity": f"u{unit}", "arm": arm, "label": str(label) if known else None})
    return table(rows)


def test_a_better_challenger_ends_the_test_early_and_an_equal_one_goes_to_the_end() -> None:
    found = report(release("ab", design=DESIGN), division(700, 0.3))
    assert found.facts["conclusion"] == "better"
    assert found.facts["look"] < 4
    assert found.lines[-1].startswith("it can be concluded that the challenger is better")
    worse = report(release("ab", design=DESIGN.model_copy(update={"better": "lower"})), division(700, 0.3))
    assert worse.facts["conclusion"] == "worse"
    equal = report(release("ab", design=DESIGN), division(1100, 0.0))
    assert (equal.facts["conclusion"], equal.facts["look"]) == ("no difference shown", 4)
    low, high = equal.facts["interval"]
    assert low < 0 < high


def test_before_the_first_look_no_difference_is_told_at_all() -> None:
    found = report(release("ab", design=DESIGN), division(900, 0.3, labelled=0.2))
    assert found.facts["conclusion"] is None
    assert "effect" not in found.facts
    assert any("nothing can be concluded yet" in line for line in found.lines)
    fixed = Design(kpi="label", better="higher", units=5000)
    assert "effect" not in report(release("ab", design=fixed), division(900, 0.3)).facts


def test_an_uneven_division_concludes_nothing_however_large_the_difference() -> None:
    found = report(release("ab", design=DESIGN), division(2000, 0.3, share=0.4))
    assert found.facts["conclusion"] == "invalid"
    assert "effect" not in found.facts
    planned = report(release("ab", weight=4000, design=DESIGN), division(2000, 0.3, share=0.4))
    assert planned.facts["conclusion"] == "better"


def test_equal_arms_are_told_apart_no_more_often_than_alpha() -> None:
    small = release("ab", design=DESIGN.model_copy(update={"units": 200}))
    said = [report(small, division(230, 0.0, seed=seed)).facts["conclusion"] for seed in range(150)]
    alarms = said.count("better") + said.count("worse")
    assert alarms <= 150 * 0.05 + 4 * np.sqrt(150 * 0.05 * 0.95)
    assert said.count("no difference shown") > 100


def test_the_unit_is_the_entity_not_the_row() -> None:
    rows = [{"entity": f"u{n % 40}", "arm": "challenger" if n % 2 else "champion", "label": "1"} for n in range(2000)]
    found = report(release("ab", design=DESIGN), table(rows))
    assert found.facts["units"] == {"champion": 20, "challenger": 20}
    moved = report(release("ab", design=DESIGN), table([*rows, {"entity": "u0", "arm": "challenger"}]))
    assert moved.facts["mixed_units"] == 1


def canary(failing: int, rows: int = 1000) -> Finding:
    log = [
        {"arm": "challenger" if n % 4 == 0 else "champion", "role": "champion" if n % 4 == 0 and n < failing else None}
        for n in range(rows)
    ]
    return report(release("canary"), table([row if row["role"] else {"arm": row["arm"]} for row in log]))


def test_a_canary_is_judged_by_its_guards_over_all_processes() -> None:
    assert canary(0).lines[-1].startswith("no guard is broken; whether it is better, a canary does not tell")
    broken = canary(800)
    assert broken.breach is not None
    assert broken.breach.startswith("fallbacks: the challenger was answered for on 200 of 250 rows")
    assert "nothing can be said yet" in canary(0, rows=100).lines[-1]


def test_a_shadow_is_compared_with_the_answer_to_the_same_row() -> None:
    chances = {"prediction": "false", "probabilities": '{"false":0.8,"true":0.2}'}
    other = {"prediction": "true", "probabilities": '{"false":0.3,"true":0.7}', "arm": "challenger", "role": "shadow"}
    rows = [{"prediction_id": f"r{n}", "label": "true", **chances} for n in range(4)]
    rows += [{"prediction_id": f"r{n}.shadow", **other} for n in range(3)]
    found = report(release("shadow"), table(rows))
    assert (found.facts["rows"], found.facts["agreement"]) == (3, 0.0)
    assert found.facts["score_difference"]["mean"] == pytest.approx(0.5)
    assert found.facts["labelled"]["difference"] == pytest.approx(0.09 - 0.64)
    assert report(release("shadow"), table(rows[:4])).facts["rows"] == 0


@pytest.mark.filterwarnings("ignore")
def test_the_commands_read_the_log_that_the_service_writes(
    tmp_path: Path, packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skline.artifact import Artifact
    from skline.scoring.golden import read_rows

    project = make(tmp_path / "p")
    assert "no experiment in that release" in project.refused("experiment", "report")
    number = project.register(packaged, "1")
    project.run("promote", number)
    test = ("--ab", "--kpi", "correct", "--entities", "100", "--approve", "a", "--reason", "an A/A test")
    project.run("promote", number, *test)
    settings = LogSettings(database=str(tmp_path / "log.db"), partitions=tmp_path / "days", batch_ms=10)
    monkeypatch.setenv("SKLINE_LOG__DATABASE", settings.database)
    monkeypatch.setenv("SKLINE_LOG__PARTITIONS", str(settings.partitions))
    artifact = Artifact.open(packaged.folder, packaged.digest)
    shown = json.loads((project.folder / "releases/release.json").read_text())["experiment"]
    rows = read_rows(artifact.contract, artifact.golden.rows)
    encode, written, labels = Encoder(settings, EntityHasher(settings)), [], []
    for n in range(130):
        row = rows[n % len(rows)]
        place = bucket(shown["salt"], shown["name"], n)
        arm = "challenger" if place < 5000 else "champion"
        record = Prediction(
            new_prediction_id(), now_us(), artifact.version, packaged.digest, "plan", row, False,
            {"false": 0.9, "true": 0.1}, role=arm, arm=arm, experiment=shown["name"], bucket=place, entity=n,
        )  # fmt: skip
        written.append(encode(record))
        labels.append(Label(prediction_id=record.prediction_id, label=n % 5 == 0))
    store = open_store(settings)
    store.write("predictions", written)
    store.close()
    Labels(settings, artifact.contract).append(labels)
    said = project.run("experiment", "report", "--json", str(tmp_path / "facts.json"))
    assert "sample ratio: p = " in said
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert sum(facts["labelled"].values()) == 130
    said = project.run("shadow", number)
    assert "130 rows; the same prediction on" in said
    assert "brier on 130 labelled rows" in said
    assert json.loads((project.folder / "reports/shadow.json").read_text())["skipped"] == 0
