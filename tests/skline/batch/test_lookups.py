"""A table is scored by the values that are in the store now, or by those that it has itself."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from skline.artifact import Artifact
from skline.batch.part import PartScorer
from skline.batch.read import TableFormat, TableReader
from skline.batch.run import RowCounts, score_table, thread_engine
from skline.errors import SklineError
from skline.loading import Model
from skline.logs.settings import LogSettings
from skline.lookups.opening import LookupMode
from skline.settings.source_kafka import KafkaSettings
from skline.sources.kafka_messages import make_decoder
from skline.streaming.message_scorer import MessageScorer
from skline.streaming.prediction_log import StreamLog
from tests.fixtures import customers, demo


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    return customers.package(tmp_path_factory.mktemp("artifact") / "artifact", customers.contract())


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = customers.write_history(tmp_path / "customers.parquet")
    monkeypatch.setenv("SKLINE_LOOKUPS__CUSTOMERS", str(path))
    return path


def score(packaged: demo.Packaged, table: Path, lookups: LookupMode = "now") -> tuple[pd.DataFrame, RowCounts]:
    out = table.with_name("scores.parquet")
    scorer = PartScorer(packaged.folder, packaged.digest, ["customer_id"], lookups)
    counts = score_table(TableReader(table, TableFormat()), scorer, out, thread_engine(2))
    return pd.read_parquet(out), counts


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """Orders of known and unknown customers, of whom one row breaks the contract."""
    path = tmp_path / "orders.csv"
    numbers = [number % 30 for number in range(300)]
    rows: dict[str, list[Any]] = {"customer_id": numbers, "amount": [float(n) for n in range(300)]}
    rows["amount"][17] = -1.0
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_scores_are_those_of_python_and_absent_values_are_counted(packaged: demo.Packaged, orders: Path) -> None:
    scores, counts = score(packaged, orders)
    model = Model(Artifact.open(packaged.folder, packaged.digest))
    table = pd.read_csv(orders).drop(index=17)
    expected = model.predict(table)
    assert scores["probability_true"].tolist() == expected["probability_true"].tolist()
    assert scores["customer_id"].astype(int).tolist() == table["customer_id"].tolist()
    assert (counts.scored, counts.rejected) == (299, 1)
    assert counts.remarks[0] == "the look-up customers found the values of 199 of 299 rows (absent 100)"


def test_a_table_that_has_the_values_is_scored_by_them(packaged: demo.Packaged, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "customer_id": [1, 2],
            "amount": [5.0, 6.0],
            "avg_30d": [50.0, None],
            "orders": [3.0, None],
            "tier": ["gold", None],
        }
    )
    table.to_parquet(tmp_path / "full.parquet")
    scores, counts = score(packaged, tmp_path / "full.parquet", "given")
    model = Model(Artifact.open(packaged.folder, packaged.digest))
    expected = model.predict(table, lookups="given")
    assert scores["probability_true"].tolist() == expected["probability_true"].tolist()
    assert counts.remarks == []
    now, _ = score(packaged, tmp_path / "full.parquet")
    assert now["probability_true"].tolist() != scores["probability_true"].tolist()


def test_without_the_store_nothing_is_scored(packaged: demo.Packaged, orders: Path, store: Path) -> None:
    store.unlink()
    with pytest.raises(SklineError, match="store of the look-up customers fails: .*customers.parquet cannot be read"):
        score(packaged, orders)
    assert not orders.with_name("scores.parquet").exists()


def test_a_lookup_without_fallback_rejects_rows_with_the_reason(tmp_path: Path, orders: Path) -> None:
    strict = customers.package(tmp_path / "artifact", customers.contract(fallback="error"))
    scores, counts = score(strict, orders)
    assert (counts.scored, counts.rejected) == (199, 101)
    assert set(scores["customer_id"].astype(int)) == set(range(20))
    rejected = pd.read_parquet(counts.rejected_path)
    reasons = rejected.groupby("reasons").size().to_dict()
    assert reasons.pop("the look-up customers has no values for this customer_id") == 100
    assert list(reasons.values()) == [1]


@pytest.mark.parametrize("mode", ["async", "sync"])
def test_a_stream_answers_and_logs_what_became_of_each_look_up(
    packaged: demo.Packaged, tmp_path: Path, mode: str
) -> None:
    scorer = PartScorer(packaged.folder, packaged.digest, [])
    rows = [{"customer_id": number, "amount": 5.0} for number in (1, 29, 2)]
    scored = MessageScorer(scorer, make_decoder(KafkaSettings()))([json.dumps(row).encode() for row in rows])
    expected = [{"customers": outcome} for outcome in ("found", "absent", "found")]
    assert [answer and answer["lookups"] for answer in scored.content] == expected
    settings = LogSettings.model_validate(
        {"mode": mode, "sync_ms": 60_000, "database": str(tmp_path / "log.db"), "partitions": tmp_path / "days"}
    )
    with StreamLog(settings) as log:
        log.add(scored.parts, [f"{number:032}" for number in range(3)])
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        logged = connection.execute("SELECT inputs, lookups FROM predictions ORDER BY prediction_id").fetchall()
    assert [json.loads(lookups) for _, lookups in logged] == expected
    inputs = [json.loads(text) for text, _ in logged]
    assert [row["customer_id"] for row in inputs] == [1, 29, 2]
    assert [row["avg_30d"] is None for row in inputs] == [False, True, False]
