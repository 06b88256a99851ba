"""Feast with its file and SQLite stores, in an environment of its own: it requires pandas < 3."""

import datetime as dt
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from skline.contract.frames import to_rows
from skline.lookups.history import read_history
from skline.lookups.join import join_lookups
from skline.lookups.opening import open_lookups
from tests.fixtures import customers
from tests.fixtures.customers import START
from tests.fixtures.server import free_port

pytestmark = pytest.mark.feast

FEAST = "feast==0.67.0"
CONFIGURATION = """\
project: customers
registry: registry.db
provider: local
online_store: {type: sqlite, path: online.db}
offline_store: {type: file}
entity_key_serialization_version: 3
"""
#: When the online store is filled, and the service predicts.
NOW = START + dt.timedelta(days=8, hours=2)
CONTRACT = customers.contract(provider="feast", max_age="2d", timeout=10)
START_SECONDS = 120


def command(*arguments: str) -> list[str]:
    """Return a command in Feast's environment."""
    return ["uv", "run", "--no-project", "--python", sys.executable, "--with", FEAST, *arguments]


@pytest.fixture(scope="module")
def orders() -> pd.DataFrame:
    """Orders at, shortly before and long after the times of the history; each once, as Feast's join keeps them."""
    random = np.random.default_rng(5)
    minutes = random.choice([0, 60, 61, 119, 120, 121, 240], 80) + 1_440 * random.integers(0, 14, 80)
    times = [START + dt.timedelta(minutes=int(minute)) for minute in minutes]
    return pd.DataFrame(
        {
            "customer_id": random.integers(0, 22, 80),
            "amount": 1.0,
            "paid": True,
            "placed_at": pd.Series(times, dtype="datetime64[us]"),
        }
    ).drop_duplicates(ignore_index=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, orders: pd.DataFrame) -> Path:
    folder = tmp_path_factory.mktemp("feast")
    (folder / "feature_store.yaml").write_text(CONFIGURATION)
    history = customers.history()
    history.assign(updated_at=history["updated_at"].dt.tz_localize("UTC")).to_parquet(folder / "customers.parquet")
    requested = pd.DataFrame(
        {
            "order": range(len(orders)),
            "customer_id": orders["customer_id"],
            "event_timestamp": orders["placed_at"].dt.tz_localize("UTC"),
        }
    )
    requested.to_parquet(folder / "orders.parquet")
    script = str(Path(__file__).with_name("feast_repository.py"))
    subprocess.run(command("python", script, NOW.replace(tzinfo=dt.UTC).isoformat()), cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[str]:
    port = free_port()
    serve = command("feast", "serve", "--host", "127.0.0.1", "--port", str(port))
    process = subprocess.Popen(serve, cwd=repository)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                httpx.get(f"{address}/health", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def joined_here(orders: pd.DataFrame) -> list[dict[str, Any]]:
    history = read_history(pa.Table.from_pandas(customers.history()), CONTRACT, "customers")
    joined = join_lookups(orders, CONTRACT, {"customers": history}).table
    return [{name: row[name] for name in ("avg_30d", "orders", "tier")} for row in to_rows(CONTRACT.inputs, joined)]


def test_the_join_for_training_gives_what_feast_joins(repository: Path, orders: pd.DataFrame) -> None:
    """Feast's file store leaves out the rows whose values are too old; here they are missing."""
    theirs = {
        row["order"]: {
            "avg_30d": None if pd.isna(row["avg_30d"]) else row["avg_30d"],
            "orders": None if pd.isna(row["n"]) else int(row["n"]),
            "tier": None if pd.isna(row["tier"]) else row["tier"],
        }
        for row in pd.read_parquet(repository / "joined.parquet").to_dict("records")
    }
    missing = {"avg_30d": None, "orders": None, "tier": None}
    ours = joined_here(orders)
    assert [theirs.get(order, missing) for order in range(len(orders))] == ours
    assert sum(row["orders"] is not None for row in ours) > 20
    assert len(theirs) < len(orders)


def test_the_online_store_gives_the_row_of_training(server: str) -> None:
    lookups = open_lookups(CONTRACT, {"customers": server}, clock=lambda: NOW)
    assert lookups is not None
    numbers = range(25)
    rows = lookups.fill_rows([{"customer_id": number, "amount": 1.0} for number in numbers])
    orders = pd.DataFrame(
        {
            "customer_id": list(numbers),
            "amount": 1.0,
            "paid": True,
            "placed_at": pd.Series([NOW] * len(numbers), dtype="datetime64[us]"),
        }
    )
    online = [{name: row[name] for name in ("avg_30d", "orders", "tier")} for row in rows]
    assert online == joined_here(orders)
    assert [row.outcomes["customers"] for row in rows] == ["found"] * 20 + ["absent"] * 5
    lookups.close()
