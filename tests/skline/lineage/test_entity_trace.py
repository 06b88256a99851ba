"""An entity traced to its predictions and labels, and to the rows and models that it went into."""

import dataclasses
import hashlib
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from skline import artifact, paths
from skline.artifact import Artifact
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.feedback import ENTITY, number_of
from skline.lineage.artifacts import ArtifactStore
from skline.lineage.data_trace import ArtifactData, digests_of
from skline.lineage.entity_rows import EntityRows
from skline.lineage.entity_trace import find_feedback, trace_entity
from skline.lineage.snapshots import MD5_DIGITS, DataFile, Snapshot
from skline.lineage.usage_text import entity_text
from skline.logs.entity import EntityHasher
from skline.logs.labels import Label, LabelLog
from skline.logs.settings import LogSettings
from skline.release.store import ReleaseStore
from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo
from tests.skline.lineage.conftest import json_rows, register

CUSTOMER = Column(name="customer", kind="integer", role="group", nullable=True)
LATE = Column(name="late", kind="boolean", role="target")


def contract_of(*columns: Column) -> Contract:
    return Contract(title="", columns=(*columns, LATE), task="binary", classes=(False, True))


def write_part(folder: Path, path: Path, customers: list[float | None]) -> str:
    """Write a part of the table; return its sha256."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"customer": pd.Series(customers, dtype="float64")}).to_parquet(target)
    return hashlib.sha256(target.read_bytes()).hexdigest()


def test_rows_are_counted_by_part_and_by_model(packaged: demo.Packaged, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / paths.CONTRACT).write_text(contract_of(CUSTOMER).to_json())
    write_part(tmp_path, paths.VALIDATED, [17, 17, None, 3, 17])
    digests = {name: write_part(tmp_path, paths.part(name), rows) for name, rows in (("train", [17, 17, None]),
                                                                                     ("test", [3]))}  # fmt: skip
    source = Artifact.open(packaged.folder, packaged.digest)
    metadata = source.manifest.model_dump(exclude={"files", "format"}) | {"data_sha256": digests}
    files = {name: content for name, content in source.content.items() if name != artifact.MANIFEST}
    made = demo.Packaged(tmp_path / "made", artifact.write(tmp_path / "made", files, metadata))
    store = ArtifactStore(ReleaseStore(tmp_path / "releases"), (), tmp_path / "artifact.sha256")
    register(store, made)
    no_log = LogSettings(database=str(tmp_path / "log.db"))
    trace = trace_entity(no_log, store, "17", tmp_path, has_log=False)
    assert trace.entity_hash is None
    assert trace.columns == ("customer",)
    assert {name: count for name, count in trace.rows.items() if count is not None} == {
        "validated": 3,
        "train": 2,
        "test": 0,
    }
    assert [(model.versions, model.rows, model.stored) for model in trace.models] == [
        (("demo/3",), {"train": 2, "validation": None, "test": 0}, None)
    ]
    (store.releases.artifacts / made.digest / artifact.GOLDEN).write_text('{"rows": []}')
    with pytest.raises(SklineError, match=r"golden.json does not have the sha256 of the manifest"):
        trace_entity(no_log, store, "17", tmp_path, has_log=False)
    text = entity_text(trace)
    assert "train (fitted on) 2, validation (fitted on) not searched" in text
    assert "without an entity key, rows that came from the log cannot be searched" in text
    assert "skline log forget" in text
    assert "replays/" in text


@pytest.fixture
def log(tmp_path: Path) -> LogSettings:
    """The settings of a log whose key is here, and whose rows are forgotten."""
    settings = LogSettings(database=str(tmp_path / "log.db"))
    EntityHasher(settings)("17")
    return settings


def write_feedback(folder: Path, hashes: list[str], **columns: list[Any]) -> Path:
    """Write a snapshot of the feedback as of a training."""
    path = folder / paths.FEEDBACK / "0001-20260301T000000Z-20260401T000000Z.parquet"
    path.parent.mkdir(parents=True)
    pd.DataFrame({ENTITY: hashes, **columns}).to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["string", "integer", "number"])
def test_rows_from_the_log_are_found_by_the_hash_in_the_group(
    kind: Any, log: LogSettings, store: ArtifactStore, tmp_path: Path
) -> None:
    """A training fills the group with the keyed hash, or with a number that stands for it."""
    mine, other = (EntityHasher(log)(each) for each in ("17", "3"))
    group = Column(name="customer", kind=kind, role="group")
    filled = [each if kind == "string" else number_of(each) for each in (mine, mine, other)]
    path = write_feedback(tmp_path, [mine, mine, other], customer=filled)
    (tmp_path / paths.CONTRACT).write_text(contract_of(group).to_json())
    own = ["17", "3"] if kind == "string" else [17, 3]
    (tmp_path / paths.RAW).parent.mkdir()
    pd.DataFrame({"customer": own + filled}).to_parquet(tmp_path / paths.RAW)
    trace = trace_entity(log, store, "17", tmp_path, has_log=False)
    assert trace.feedback == {path.relative_to(tmp_path).as_posix(): 2}
    assert trace.rows["raw"] == 3
    text = entity_text(trace)
    assert f"{path.relative_to(tmp_path).as_posix()}: 2" in text
    assert "delete all snapshots in data/source/feedback" in text


@pytest.mark.parametrize("kind", ["string", "integer"])
def test_rows_from_the_log_are_found_by_their_id_without_a_group(
    kind: Any, log: LogSettings, store: ArtifactStore, tmp_path: Path
) -> None:
    mine, other = (EntityHasher(log)(each) for each in ("17", "3"))
    ids = ["p", "q"] if kind == "string" else [number_of("p"), number_of("q")]
    write_feedback(tmp_path, [mine, other], id=ids)
    row_id = Column(name="id", kind=kind, role="id")
    (tmp_path / paths.CONTRACT).write_text(contract_of(row_id).to_json())
    (tmp_path / paths.part("train")).parent.mkdir()
    pd.DataFrame({"id": ids}).to_parquet(tmp_path / paths.part("train"))
    trace = trace_entity(log, store, "17", tmp_path)
    assert trace.columns == ()
    assert trace.id_columns == ("id",)
    assert trace.rows["train"] == 1
    assert "no column holds entities" in entity_text(trace)
    (tmp_path / paths.CONTRACT).write_text(contract_of().to_json())
    assert "cannot be found there: the contract has no id" in entity_text(trace_entity(log, store, "17", tmp_path))
    (tmp_path / paths.CONTRACT).unlink()
    assert "contract.json is not here" in entity_text(trace_entity(log, store, "17", tmp_path))


def test_without_the_key_or_the_file_a_snapshot_is_not_searched(
    log: LogSettings, store: ArtifactStore, tmp_path: Path
) -> None:
    path = write_feedback(tmp_path, [EntityHasher(log)("17")])
    path.with_name(f"{path.name}.dvc").touch()
    log.key_file.unlink()
    name = path.relative_to(tmp_path).as_posix()
    text = entity_text(trace_entity(log, store, "17", tmp_path))
    assert f"{name}: not searched: the entity key is not here" in text
    assert not log.key_file.exists()
    path.write_bytes(b"damaged")
    EntityHasher(log)("17")
    with pytest.raises(SklineError, match="cannot be read, so that its rows are not searched"):
        trace_entity(log, store, "17", tmp_path)
    path.unlink()
    assert trace_entity(log, store, "17", tmp_path).feedback == {name: None}


def test_snapshots_of_earlier_artifacts_are_searched_in_the_cache(log: LogSettings, tmp_path: Path) -> None:
    """`skline log forget` and a new training leave the earlier snapshot and its rows in DVC's cache."""
    path = write_feedback(tmp_path, [EntityHasher(log)("17")])
    [md5] = [each for each in digests_of(str(path)) if len(each) == MD5_DIGITS]
    cached = tmp_path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.parent.mkdir(parents=True)
    shutil.move(path, cached)
    file = DataFile(path.relative_to(tmp_path).as_posix(), md5, "a commit")
    made = ArtifactData("a" * 64, (), Snapshot(None, {}, (file, dataclasses.replace(file, digest="b" * 32))))
    found = find_feedback([made], tmp_path)
    assert list(found.values()) == [cached, None]
    assert md5 in next(iter(found))


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
    for name, found in (("customer", count), ("other", None)):
        contract = contract_of(Column(name=name, kind=kind, role="group"))
        assert EntityRows(contract, None, entity, None).count_in_table(table) == found


def test_rows_that_an_artifact_contains_are_counted(packaged: demo.Packaged) -> None:
    made = Artifact.open(packaged.folder, packaged.digest)
    rows = made.golden.rows
    column, value = demo.contract()["carrier"], rows[0]["carrier"]
    expected = sum(row["carrier"] == value for row in rows)
    assert EntityRows(demo.contract(), column.name, value, None).count_in_artifact(made) == expected > 0


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
