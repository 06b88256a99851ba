"""Look-ups at prediction time: their outcomes, their bound in time, and the circuit breaker."""

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from skline.lookups import online
from skline.lookups.breaker import MAX_FAILURES, PAUSE_SECONDS, CircuitBreaker
from skline.lookups.online import LookupFailed, Lookups
from skline.lookups.store import Found, Key
from tests.fixtures import customers
from tests.fixtures.customers import START

NOW = START + dt.timedelta(days=5)
ROW = {"customer_id": 7, "amount": 1.0}
VALUES = {"avg_30d": 1.5, "orders": 3, "tier": "gold"}
MISSING = dict.fromkeys(VALUES)


class MemoryStore:
    """A store whose content a test sets; `fails` raises, and `blocks` waits until the test lets it go on."""

    def __init__(self, content: dict[Key, Found], threads: int = 2) -> None:
        self.threads, self.content = threads, content
        self.calls: list[list[Key]] = []
        self.fails: Exception | None = None
        self.blocks = False
        self.release = threading.Event()

    def open(self) -> None:
        """Do nothing."""

    def get(self, keys: Sequence[Key], now: dt.datetime) -> Sequence[Found | None]:
        self.calls.append(list(keys))
        if self.blocks:
            self.release.wait(20)
        if self.fails is not None:
            raise self.fails
        return [self.content.get(key) for key in keys]

    def close(self) -> None:
        self.release.set()


def lookups_of(store: MemoryStore, *, patient: bool = False, observe: Any = None, **settings: Any) -> Lookups:
    contract = customers.contract(**settings)
    return Lookups(contract, {"customers": store}, patient=patient, clock=lambda: NOW, observe=observe)


def both_ways(lookups: Lookups, row: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Fill a row as a single request and as a batch; both have to give the same."""
    single, [batched] = asyncio.run(lookups.fill_row(row)), lookups.fill_rows([row])
    assert single == batched
    assert single.outcomes == batched.outcomes
    assert list(single) == customers.contract().input_names
    return {name: single[name] for name in VALUES}, single.outcomes["customers"]


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (Found(START + dt.timedelta(days=4), VALUES), "found"),
        (Found(None, VALUES), "found"),
        (None, "absent"),
        (Found(START, VALUES), "stale"),
        (Found(NOW, VALUES | {"orders": -1}), "invalid"),
        (Found(NOW, VALUES | {"avg_30d": "many"}), "invalid"),
    ],
)
def test_a_row_gets_values_that_are_there_fresh_and_valid(found: Found | None, outcome: str, threads: int) -> None:
    lookups = lookups_of(MemoryStore({} if found is None else {7: found}, threads), max_age="2d")
    assert both_ways(lookups, ROW) == (VALUES if outcome == "found" else MISSING, outcome)


def test_a_row_without_a_key_is_absent_and_the_store_is_not_called() -> None:
    store = MemoryStore({7: Found(NOW, VALUES)})
    assert both_ways(lookups_of(store), ROW | {"customer_id": None}) == (MISSING, "absent")
    assert store.calls == []


def test_values_are_read_as_cells_of_the_contract() -> None:
    store = MemoryStore({7: Found(NOW, {"avg_30d": "2.5", "orders": 3.0, "tier": None})})
    assert both_ways(lookups_of(store), ROW) == ({"avg_30d": 2.5, "orders": 3, "tier": None}, "found")


def test_a_late_store_costs_the_timeout_and_not_more() -> None:
    store = MemoryStore({7: Found(NOW, VALUES)})
    store.blocks = True
    lookups = lookups_of(store, timeout=0.05)
    started = time.perf_counter()
    assert both_ways(lookups, ROW) == (MISSING, "timeout")
    assert time.perf_counter() - started < 15, "it waits for the store, which blocks for 20 s"
    lookups.close()


def test_the_event_loop_goes_on_while_a_store_blocks() -> None:
    store = MemoryStore({7: Found(NOW, VALUES)})
    store.blocks = True
    lookups = lookups_of(store, timeout=10)

    async def fill_while_releasing() -> Any:
        filling = asyncio.create_task(lookups.fill_row(ROW))
        while not store.calls:
            await asyncio.sleep(0.001)
        store.release.set()  # only a loop that is not blocked gets here
        return await filling

    assert asyncio.run(fill_while_releasing()).outcomes == {"customers": "found"}


def test_a_failing_store_is_left_alone_and_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(online, "CircuitBreaker", lambda: CircuitBreaker(lambda: now[0]))
    store = MemoryStore({7: Found(NOW, VALUES)})
    store.fails = ConnectionError()
    lookups = lookups_of(store)
    outcomes = [lookups.fill_rows([ROW])[0].outcomes["customers"] for _ in range(MAX_FAILURES + 2)]
    assert outcomes == ["error"] * MAX_FAILURES + ["skipped"] * 2
    assert len(store.calls) == MAX_FAILURES
    now[0] += PAUSE_SECONDS
    assert lookups.fill_rows([ROW])[0].outcomes == {"customers": "error"}
    store.fails = None
    now[0] += PAUSE_SECONDS
    assert both_ways(lookups, ROW) == (VALUES, "found")


def test_after_a_pause_one_call_tries_the_store() -> None:
    now = [0.0]
    breaker = CircuitBreaker(lambda: now[0])
    for _ in range(MAX_FAILURES):
        assert breaker.allows_call()
        breaker.record_failure()
    assert not breaker.allows_call()
    now[0] += PAUSE_SECONDS
    assert [breaker.allows_call(), breaker.allows_call()] == [True, False]
    breaker.record_success()
    assert [breaker.allows_call(), breaker.allows_call()] == [True, True]


def test_each_key_of_a_batch_is_looked_up_once_and_in_bounded_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "MAX_KEYS", 3)
    store = MemoryStore({key: Found(NOW, VALUES | {"orders": key}) for key in range(7)})
    rows = [ROW | {"customer_id": key % 7} for key in range(20)]
    filled = lookups_of(store).fill_rows(rows)
    assert store.calls == [[0, 1, 2], [3, 4, 5], [6]]
    assert [row["orders"] for row in filled] == [key % 7 for key in range(20)]


def test_outcomes_are_observed_by_row() -> None:
    observed: list[Any] = []
    store = MemoryStore({1: Found(NOW, VALUES)})
    lookups = lookups_of(
        store, observe=lambda name, outcomes, seconds: observed.append((name, dict(outcomes), seconds))
    )
    lookups.fill_rows([ROW | {"customer_id": key} for key in (1, 1, 2)])
    [(name, outcomes, seconds)] = observed
    assert (name, outcomes) == ("customers", {"found": 2, "absent": 1})
    assert seconds >= 0


def test_the_fallback_error_rejects_a_row_and_says_whose_fault_it_is() -> None:
    store = MemoryStore({7: Found(NOW, VALUES)})
    lookups = lookups_of(store, fallback="error")
    with pytest.raises(LookupFailed, match="customers has no values for this customer_id") as raised:
        lookups.fill_rows([ROW, ROW | {"customer_id": 8}])
    assert (raised.value.row, raised.value.is_store_failure) == (1, False)
    store.fails = ConnectionError("with the password")
    with pytest.raises(LookupFailed, match="the store of the look-up customers fails") as raised:
        asyncio.run(lookups.fill_row(ROW))
    assert raised.value.is_store_failure
    assert "password" not in str(raised.value)


@pytest.mark.parametrize(("content", "message"), [(ConnectionError(), "fails"), ({"orders": -1}, "break the contract")])
def test_a_person_gets_an_error_where_a_request_gets_missing_values(content: Any, message: str) -> None:
    store = MemoryStore({7: Found(NOW, VALUES | (content if isinstance(content, dict) else {}))})
    store.fails = content if isinstance(content, Exception) else None
    lookups = lookups_of(store, patient=True)
    with pytest.raises(LookupFailed, match=message):
        lookups.fill_rows([ROW])
    assert both_ways(lookups_of(MemoryStore({}), patient=True), ROW) == (MISSING, "absent")
