"""Look-ups for predictions: bounded in time, with a fallback for what is late, absent or unusable."""

import asyncio
import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from skline.clock import naive_now
from skline.contract.request_validation import RowParser
from skline.contract.spec import Contract, Row, Value
from skline.errors import SklineError
from skline.lookups.breaker import CircuitBreaker
from skline.lookups.store import Found, Key, Store
from skline.throttled_logger import ThrottledLogger

log = logging.getLogger("skline.lookups")

#: found: the values of the store; absent: it has none for the key; stale: they are too old; invalid: they break the
#: contract; timeout, error: the store failed; skipped: it failed repeatedly and is not called for a while.
Outcome = Literal["found", "absent", "stale", "invalid", "timeout", "error", "skipped"]
#: Outcomes that say something about the store, not about a row.
FAILURES: tuple[Outcome, ...] = ("timeout", "error", "skipped")
#: Keys of one call of a store; a longer batch makes several calls, each with the timeout.
MAX_KEYS = 1_000
#: Seconds that commands and Python wait for a store, and that opening one may take.
PATIENT_SECONDS = 30.0
#: Gets the name of a look-up, the number of rows by outcome, and the seconds that it took.
Observe = Callable[[str, Mapping[str, int], float], None]


class Result(NamedTuple):
    """The values of one row by column, and how they were found; without usable values all are missing."""

    values: Mapping[str, Value]
    outcome: Outcome


class LookedUpRow(dict[str, Value]):
    """A row with its looked-up inputs.

    Attributes
    ----------
    outcomes : dict of str to Outcome
        By the name of the look-up.
    """

    __slots__ = ("outcomes",)

    def __init__(self, values: Mapping[str, Value], outcomes: dict[str, Outcome]) -> None:
        super().__init__(values)
        self.outcomes = outcomes


class LookupFailed(SklineError):
    """A row has no usable value, and the look-up's fallback is `error`.

    Attributes
    ----------
    row : int
        Position of the row in its request.
    is_store_failure : bool
        Whether the store failed, not the row's key.
    """

    def __init__(self, message: str, row: int, *, is_store_failure: bool) -> None:
        super().__init__(message)
        self.row, self.is_store_failure = row, is_store_failure


class StoreLookup:
    """The look-ups in one store.

    Parameters
    ----------
    name : str
        Of the look-up.
    contract : Contract
    store : Store
    timeout : float
        Seconds that a call may take.
    clock : callable
        Returns the time, UTC without a zone.
    observe : callable
    """

    def __init__(
        self,
        name: str,
        contract: Contract,
        store: Store,
        timeout: float,
        clock: Callable[[], dt.datetime],
        observe: Observe,
    ) -> None:
        self.name, self.lookup = name, contract.lookups[name]
        columns = contract.columns_of_lookup(name)
        self._missing: Mapping[str, Value] = dict.fromkeys(columns)
        self._parser = RowParser(contract.model_copy(update={"columns": tuple(columns.values())}))
        self._store, self._timeout, self._clock, self._observe = store, timeout, clock, observe
        self._pool = ThreadPoolExecutor(store.threads or 1, thread_name_prefix=f"lookup-{name}")
        self._breaker, self._throttled = CircuitBreaker(), ThrottledLogger(log)
        #: Why the store failed last, for a person.
        self.reason = ""

    def open(self) -> None:
        """Prepare the store; a failure is logged, and the first rows have the outcome that it causes."""
        try:
            self._pool.submit(self._store.open).result(PATIENT_SECONDS)
        except Exception as error:  # noqa: BLE001 - a store may raise anything
            log.error("the look-up %s is not ready: %s", self.name, _describe(error))  # noqa: TRY400

    def find(self, keys: Sequence[Value]) -> list[Result]:
        """Look keys up; it blocks, for at most the timeout for each MAX_KEYS different keys."""
        started, distinct = perf_counter(), _distinct(keys)
        by_key: dict[Key, Result] = {}
        for start in range(0, len(distinct), MAX_KEYS):
            part = distinct[start : start + MAX_KEYS]
            now, failure, found = self._clock(), self._why_not(), None
            if failure is None:
                try:
                    found = self._call(part, now)
                    if isinstance(found, Future):
                        found = found.result(self._timeout)
                except Exception as error:  # noqa: BLE001 - a store may raise anything
                    failure = self._failed(error)
            by_key |= self._results(part, found, failure, now)
        return self._settle(keys, by_key, started)

    async def find_one(self, key: Value) -> Result:
        """Look a key up without blocking the event loop, for at most the timeout."""
        started, now = perf_counter(), self._clock()
        failure, found = None, None
        keys = _distinct([key])
        if keys and (failure := self._why_not()) is None:
            try:
                found = self._call(keys, now)
                if isinstance(found, Future):
                    found = await asyncio.wait_for(asyncio.wrap_future(found), self._timeout)
            except Exception as error:  # noqa: BLE001 - a store may raise anything
                failure = self._failed(error)
        [result] = self._settle([key], self._results(keys, found, failure, now), started)
        return result

    def close(self) -> None:
        """Close the store; calls that hang are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._store.close()

    def _why_not(self) -> Outcome | None:
        """Return the outcome if the store is not called; None if it is."""
        return None if self._breaker.allows_call() else "skipped"

    def _call(self, keys: Sequence[Key], now: dt.datetime) -> "Future[Any] | Sequence[Found | None]":
        """Call the store, in a thread unless it is in memory."""
        if not self._store.threads:
            return self._store.get(keys, now)
        return self._pool.submit(self._store.get, keys, now)

    def _failed(self, error: Exception) -> Outcome:
        """Count and log a failure."""
        self._breaker.record_failure()
        outcome: Outcome = "timeout" if isinstance(error, TimeoutError) else "error"
        self.reason = f"no answer within {self._timeout:g} s" if outcome == "timeout" else _describe(error)
        self._throttled.log(logging.WARNING, f"the look-up {self.name} failed: {self.reason}")
        return outcome

    def _results(self, keys: Sequence[Key], found: Any, failure: Outcome | None, now: dt.datetime) -> dict[Key, Result]:
        """Return the result of each key of one call."""
        if failure is not None:
            return dict.fromkeys(keys, Result(self._missing, failure))
        if found is not None:
            self._breaker.record_success()
        return {key: self._result(each, now) for key, each in zip(keys, found or (), strict=True)}

    def _result(self, found: Found | None, now: dt.datetime) -> Result:
        """Check what the store holds for a key."""
        if found is None:
            return Result(self._missing, "absent")
        if self.lookup.is_stale(found.time, now):
            return Result(self._missing, "stale")
        try:
            [values] = self._parser.read_rows([dict(found.values)])
        except ValidationError as error:
            fields = ", ".join(sorted({str(detail["loc"][1]) for detail in error.errors() if len(detail["loc"]) > 1}))
            self._throttled.log(
                logging.WARNING, f"the look-up {self.name} has values that break the contract: {fields}"
            )
            return Result(self._missing, "invalid")
        return Result(values, "found")

    def _settle(self, keys: Sequence[Value], by_key: Mapping[Key, Result], started: float) -> list[Result]:
        """Return the result of each row, and observe them."""
        absent = Result(self._missing, "absent")
        results = [absent if key is None else by_key[key] for key in keys]  # type: ignore[index]
        self._observe(self.name, Counter(result.outcome for result in results), perf_counter() - started)
        return results


class Lookups:
    """Adds the looked-up inputs to the rows of requests.

    Parameters
    ----------
    contract : Contract
    stores : mapping of str to Store
        By the name of the look-up.
    patient : bool
        Whether to wait PATIENT_SECONDS for a store, not the look-up's timeout, and to raise LookupFailed where a store
        fails or its values break the contract: a person who waits prefers an error to predictions without the values.
    clock : callable
        Returns the time, UTC without a zone.
    observe : callable, optional
        See `Observe`.
    """

    def __init__(
        self,
        contract: Contract,
        stores: Mapping[str, Store],
        *,
        patient: bool = False,
        clock: Callable[[], dt.datetime] = naive_now,
        observe: Observe | None = None,
    ) -> None:
        self._names, self._patient = contract.input_names, patient
        self._lookups = [
            StoreLookup(
                name,
                contract,
                stores[name],
                PATIENT_SECONDS if patient else lookup.timeout,
                clock,
                observe or _observe_nothing,
            )
            for name, lookup in contract.lookups.items()
        ]

    def open(self) -> None:
        """Prepare the stores; it blocks. Failures are logged."""
        for lookup in self._lookups:
            lookup.open()

    async def fill_row(self, row: Row) -> LookedUpRow:
        """Add the inputs of one row.

        Raises
        ------
        LookupFailed
            If it has no usable values, and the fallback is `error`.
        """
        if len(self._lookups) == 1:  # without a task of its own it takes half of the time
            [lookup] = self._lookups
            return self._combined(row, [await lookup.find_one(row[lookup.lookup.key])], 0)
        results = await asyncio.gather(*(each.find_one(row[each.lookup.key]) for each in self._lookups))
        return self._combined(row, results, 0)

    def fill_rows(self, rows: Sequence[Row]) -> list[LookedUpRow]:
        """Add the inputs of many rows; it blocks. It raises as `fill_row` does."""
        found = [each.find([row[each.lookup.key] for row in rows]) for each in self._lookups]
        return [
            self._combined(row, results, index) for index, (row, *results) in enumerate(zip(rows, *found, strict=True))
        ]

    def find(self, keys: Mapping[str, Sequence[Value]]) -> dict[str, list[Result]]:
        """Look up many keys, by the name of the look-up; it blocks.

        Raises
        ------
        SklineError
            If a store fails.
        """
        found = {}
        for each in self._lookups:
            found[each.name] = results = each.find(keys[each.name])
            if {result.outcome for result in results} & set(FAILURES):
                raise SklineError(f"the store of the look-up {each.name} fails: {each.reason}")
        return found

    def close(self) -> None:
        """Close the stores."""
        for lookup in self._lookups:
            lookup.close()

    def _combined(self, row: Row, results: Sequence[Result], index: int) -> LookedUpRow:
        """Return the row in the order of the contract."""
        values: dict[str, Value] = dict(row)
        outcomes: dict[str, Outcome] = {}
        for lookup, (found, outcome) in zip(self._lookups, results, strict=True):
            if outcome != "found" and (
                lookup.lookup.fallback == "error" or (self._patient and outcome not in ("absent", "stale"))
            ):
                message = failure_message(lookup.name, outcome, lookup.lookup.key)
                if self._patient and outcome in FAILURES:
                    message = f"the store of the look-up {lookup.name} fails: {lookup.reason}"
                raise LookupFailed(message, index, is_store_failure=outcome in FAILURES)
            values |= found
            outcomes[lookup.name] = outcome
        return LookedUpRow({name: values[name] for name in self._names}, outcomes)


def failure_message(name: str, outcome: Outcome, key: str) -> str:
    """Return why a row has no usable values."""
    return {
        "found": f"the look-up {name} has values",
        "absent": f"the look-up {name} has no values for this {key}",
        "stale": f"the values of the look-up {name} for this {key} are too old",
        "invalid": f"the values of the look-up {name} for this {key} break the contract",
        "timeout": f"the store of the look-up {name} does not answer in time",
        "error": f"the store of the look-up {name} fails; the log says why",
        "skipped": f"the store of the look-up {name} has failed repeatedly; the log says why",
    }[outcome]


def _distinct(keys: Sequence[Value]) -> list[Any]:
    """Return the keys that are not missing, each once."""
    return [key for key in dict.fromkeys(keys) if key is not None]


def _describe(error: Exception) -> str:
    """Describe an error without values, which the message of a client may contain."""
    if isinstance(error, SklineError):
        return str(error)
    return type(error).__name__


def _observe_nothing(name: str, outcomes: Mapping[str, int], seconds: float) -> None:
    """Observe nothing."""
