"""Counts of requests in a window from a Prometheus server: what the service rejected or failed at is not in the log.

The requests are those of the alert rules in deploy/prometheus. `increase` extrapolates to the ends of the window, so
that counts are not whole numbers.
"""

import datetime as dt
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import NamedTuple

from skline.errors import SklineError
from skline.monitoring.estimates import finite

TIMEOUT_SECONDS = 10.0
#: A response holds one number.
MAX_BYTES = 64 * 2**10
#: Requests of users: no probes, scrapes and unknown paths.
_REQUESTS = 'skline_request_duration_seconds_count{{job="{job}",route!~"/health/.*|/metrics|other"{more}}}'
_ROWS = 'skline_log_rows_total{{job="{job}"{more}}}'


class RequestCounts(NamedTuple):
    """Counts of a window, over all replicas of the service; None where Prometheus has no values.

    Attributes
    ----------
    requests, errors, client_errors : float or None
        All requests, and those with a status of 500 or more, and of 400 to 499.
    logged, dropped : float or None
        Rows of predictions that were written to the log, and that were not.
    """

    requests: float | None
    errors: float | None
    client_errors: float | None
    logged: float | None
    dropped: float | None


def read_counts(address: str, job: str, start: dt.datetime, end: dt.datetime) -> RequestCounts:
    """Read the counts of start ≤ time < end.

    Parameters
    ----------
    address : str
        Of the server, such as http://localhost:9090.
    job : str
        The label `job` of the service's metrics.

    Raises
    ------
    SklineError
        If the server does not respond, or not with numbers.
    """

    def count(series: str, more: str = "") -> float | None:
        selected, seconds = series.format(job=job, more=more), int((end - start).total_seconds())
        return query(address, f"sum(increase({selected}[{seconds}s]))", end)

    return RequestCounts(
        requests=count(_REQUESTS),
        errors=count(_REQUESTS, ',status=~"5.."'),
        client_errors=count(_REQUESTS, ',status=~"4.."'),
        logged=count(_ROWS, ',outcome="written"'),
        dropped=count(_ROWS, ',outcome!="written"'),
    )


def query(address: str, expression: str, time: dt.datetime) -> float | None:
    """Return the value of an expression at a time; None if it has none or is NaN. Raises as `read_counts` does."""
    parameters = urllib.parse.urlencode({"query": expression, "time": f"{time.timestamp():.3f}"})
    url = f"{address.rstrip('/')}/api/v1/query?{parameters}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - the settings allow http and https alone
            content = json.loads(response.read(MAX_BYTES))
        result = content["data"]["result"]
        return finite(float(result[0]["value"][1])) if result else None
    except urllib.error.HTTPError as error:
        error.close()
        raise SklineError(f"Prometheus at {address} responded with status {error.code}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise SklineError(f"Prometheus at {address} cannot be reached: {reason}") from None
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise SklineError(f"Prometheus at {address} sent no result of a query; is this its address?") from None
