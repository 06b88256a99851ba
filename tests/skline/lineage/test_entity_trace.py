"""An entity traced to its predictions and labels, and to the rows and models that it went into."""

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from skline import artifact, paths
from skline.artifact import Artifact
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.lineage.artifacts import ArtifactStore
from skline.lineage.entity_trace import count_rows, count_stored_rows, trace_entity
from skline.lineage.usage_text import entity_text
from skline.logs.labels import Label, LabelLog
from skline.logs.settings import LogSettings
from skline.release.store import ReleaseStore
from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo
from tests.skline.lineage.conftest import json_rows, register

CUSTOMER = Column(name="customer", kind="integer", role="group", nullable=True)
CONTRACT = Contract(
    title="", columns=(CUSTOMER, Column(name="late", kind="boolean", role="target")), task="binary",
    classes=(False, True),
)  # fmt: skip


def write_part(folder: Path, path: Path, customers: list[float | None]) -> str:
    """Write a part of the table; return its sha256."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"customer": pd.Series(customers, dtype="float64")}).to_parquet(target)
    return hashlib.sha256(target.read_bytes()).hexdigest()


def test_rows_are_counted_by_part_and_by_model(packaged: demo.Packaged, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / paths.CONTRACT).write_text(CONTRACT.to_json())
    write_part(tmp_path, paths.VALIDATED, [17, 17, None, 3, 17])
    digests = {name: write_part(tmp_path, paths.part(name), rows) for name, rows in (("train", [17, 17, None]),
                                                                                     ("test", [3]))}  # fmt: skip
    source = Artifact.open(packaged.folder, packaged.digest)
    metadata = source.manifest.model_dump(exclude={"files", "format"}) | {"data_sha256": digests}
    files = {name: content for name, content in source.content.items() if name != artifact.MANIFEST}
    made = demo.Packaged(tmp_path / "made", artifact.write(tmp_path / "made", files, metadata))
    store = ArtifactStore(ReleaseStore(tmp_path / "releases"), (), tmp_path / "artifact.sha256")
    register(store, made)
    trace = trace_entity(None, store, "17", tmp_path)
    assert trace.entity_hash is None
    assert trace.columns == ("customer",)
    assert {name: count for name, count in trace.rows.items() if count is not None} == {
        "validated": 3,
        "train": 2,
        "test": 0,
    }
    assert [(model.versions, model.rows, model.stored) for model in trace.models] == [
        (("demo/3",), {"train": 2, "validation": None, "test": 0}, 0)
    ]
    (store.releases.artifacts / made.digest / artifact.GOLDEN).write_text('{"rows": []}')
    with pytest.raises(SklineError, match=r"golden.json does not have the sha256 of the manifest"):
        trace_entity(None, store, "17", tmp_path)
    text = entity_text(trace)
    assert "train (fitted on) 2, validation (fitted on) in a file that is not here" in text
    assert "skline log forget" in text


@pytest.mark.parametrize(
    ("kind", "values", "entity", "count"),
    [
        ("integer", [12, 12, 1], "12", 2),
        ("string", ["12", "x", None], "12", 1),
        ("string", ["a b", "a"], "a b", 1),
        ("integer", [12, 1, 2], "x", 0),
        ("datetime", [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02")], "2024-01-01", 1),
    ],
)
def test_entity_is_compared_as_the_columns_kind(kind: Any, values: list[Any], entity: str, count: int) -> None:
    table = pa.Table.from_pandas(pd.DataFrame({"customer": values}))
    assert count_rows(table, [Column(name="customer", kind=kind)], entity) == count
    assert count_rows(table, [Column(name="other", kind=kind)], entity) == 0


def test_rows_that_an_artifact_contains_are_counted(packaged: demo.Packaged) -> None:
    made = Artifact.open(packaged.folder, packaged.digest)
    rows = made.golden.rows
    column, value = demo.contract()["carrier"], rows[0]["carrier"]
    expected = sum(row["carrier"] == value for row in rows)
    assert count_stored_rows(made, [column], value) == expected > 0


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(ReleaseStore(tmp_path / "releases"), (), tmp_path / "artifact.sha256")


def test_predictions_and_labels_are_found_by_the_hash(
    packaged: demo.Packaged, store: ArtifactStore, tmp_path: Path
) -> None:
    settings = LogSettings(
        database=str(tmp_path / "log.db"), partitions=tmp_path / "days", entity_column="dest",
        event_time_column="flight_date",
    )  # fmt: skip
    unseen = trace_entity(settings, store, "ORD", tmp_path)
    assert unseen.entity_hash is None
    assert not settings.key_file.exists()
    rows = [row | {"dest": "ORD" if index < 2 else "IAH"} for index, row in enumerate(json_rows(3))]
    served = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, log=settings)
    with running(create_app(served)) as client:
        wait_until_loaded(client)
        client.post("/predict/batch", json=rows).raise_for_status()
    labels = LabelLog(settings, demo.contract())
    day = rows[0]["flight_date"]
    labels.append([Label(entity="ORD", event_time=day, label=True), Label(entity="IAH", event_time=day, label=True)])
    labels.close()
    trace = trace_entity(settings, store, "ORD", tmp_path)
    assert [(usage.model_version, usage.predictions) for usage in trace.usages] == [(packaged.version, 2)]
    assert trace.usages[0].labels >= 1
    assert trace.labels == 1
    assert trace.columns == ()
