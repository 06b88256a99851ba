"""Rejected requests for predictions by rule and column: counted for /metrics, and by minute for the prediction log.

Nothing happens for requests that are valid. All counts are made on the event loop. They hold names of rules and of the
contract's columns, and no value of a request.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from skline.clock import now_us
from skline.logs.rejections import ALL, OTHER, RejectedCount

#: Time from the first rejected request after a flush to the next flush. A process that is killed loses its counts.
FLUSH_SECONDS = 60.0
#: Pairs of rule and column that the log gets of one minute; the others are counted as other.
MAX_PAIRS = 100
MINUTE_US = 60_000_000
#: Beginnings of the paths whose requests ask for predictions.
PATHS = ("/predict", "/invocations", "/v2/")
RULES = {
    "missing": "missing", "missing_value": "missing", "none_required": "missing",
    "extra_forbidden": "unknown_field",
    "greater_than": "out_of_range", "greater_than_equal": "out_of_range",
    "less_than": "out_of_range", "less_than_equal": "out_of_range",
    "literal_error": "not_in_set", "choice": "not_in_set", "enum": "not_in_set",
    "pattern": "pattern", "string_pattern_mismatch": "pattern",
    "string_too_long": "length", "string_too_short": "length",
    "finite_number": "type",
    "not_finite": "not_scorable", "not_scorable": "not_scorable",
}  # fmt: skip
#: Endings of the types of errors that say that a value is not of its column's type.
TYPE_ENDINGS = ("_type", "_parsing", "_format", "_from_float", "_parsing_size")


class BrokenRule(NamedTuple):
    """A rule that a request breaks, and the column; OTHER if it is none of the contract."""

    rule: str
    column: str


class RejectedRequests(Collector):
    """Counts rejected requests.

    Parameters
    ----------
    columns : sequence of str
        Inputs of the contract.
    version : callable
        Returns the version that is served.
    put : callable
        Takes the counts for the prediction log; must not wait.
    """

    def __init__(
        self, columns: Sequence[str], version: Callable[[], str], put: Callable[[Sequence[RejectedCount]], None]
    ) -> None:
        self._columns, self._version, self._put = frozenset(columns), version, put
        self._totals: Counter[BrokenRule] = Counter()
        #: Requests and rows by minute, version, rule and column, since the last flush.
        self._minutes: dict[tuple[int, str], dict[BrokenRule, list[int]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield the counts since the start."""
        family = CounterMetricFamily(
            "skline_invalid_requests_total",
            "Requests for predictions with status 422; one counts once for each rule and column that it breaks",
            labels=["rule", "column"],
        )
        for broken, requests in self._totals.items():
            family.add_metric(broken, requests)
        yield family

    def count(self, details: Sequence[Mapping[str, Any]], rows: int, path: str) -> None:
        """Count a request with status 422.

        Parameters
        ----------
        details : sequence of mappings
            The errors of its response: `loc` and `type`.
        rows : int
            Rows of the request, all of which are rejected with it.
        path : str
        """
        if not path.startswith(PATHS):
            return
        broken = {broken_rule(detail, self._columns) for detail in details}
        self._totals.update(broken)
        now = now_us()
        minute = self._minutes.setdefault((now - now % MINUTE_US, self._version()), {})
        for each in (BrokenRule(ALL, ALL), *broken):
            known = each in minute or len(minute) <= MAX_PAIRS
            counts = minute.setdefault(each if known else BrokenRule(OTHER, OTHER), [0, 0])
            counts[0] += 1
            counts[1] += rows
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Pass the counts since the last flush to the log."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        minutes, self._minutes = self._minutes, {}
        counts = [
            RejectedCount.new(time, version, *broken, requests, rows)
            for (time, version), minute in minutes.items()
            for broken, (requests, rows) in minute.items()
        ]
        if counts:
            self._put(counts)


def broken_rule(detail: Mapping[str, Any], columns: frozenset[str]) -> BrokenRule:
    """Return the rule and the column of an error; few values of each, whatever the request holds."""
    kind, location = str(detail["type"]), detail["loc"]
    column = next((part for part in location[1:] if isinstance(part, str) and part in columns), OTHER)
    if location and location[0] == "query":
        return BrokenRule("parameter", OTHER)
    if kind in RULES:
        return BrokenRule(RULES[kind], column)
    if column == OTHER:
        return BrokenRule("malformed", OTHER)
    return BrokenRule("type" if kind.endswith(TYPE_ENDINGS) else OTHER, column)
