"""The definition of a look-up: from which store, by which key and within which limits inputs are looked up.

The contract holds the definitions, and so does the artifact: a server needs nothing else but the address of the store.
"""

import datetime as dt
import re
from typing import Literal

from pydantic import BaseModel, ConfigDict

from skline.errors import SklineError

#: Name of a look-up, as in params.yaml and in the names of environment variables.
NAME = r"[a-z][a-z0-9_]*"
#: What `column(…, lookup=…)` takes: the name of a look-up, and that of a value.
REFERENCE = re.compile(rf"({NAME})\.(\S+)")
#: What happens to a row for which there is no usable value.
Fallback = Literal["missing", "error"]


class Lookup(BaseModel):
    """How the values of a look-up are found.

    Attributes
    ----------
    key : str
        The input that callers send, by whose value the store is searched.
    provider : str
        parquet, postgresql, redis, feast, or a function of the project as module:function.
    address : str or None
        Where the store is; the environment can name another one, and holds every password.
    table : str
        The table, the prefix of the keys, or the feature view in the store.
    time : str
        The value of a stored row that says from when on it was true.
    max_age : float or None
        Seconds after which a stored row is too old to be used; None: never.
    delay : float
        Seconds from the time of a row to its arrival in the store. Training takes a row from then on.
    timeout : float
        Seconds that a request waits for the store.
    fallback : {"missing", "error"}
        What a row gets without a usable value: the inputs are missing, or the row is rejected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    provider: str = "parquet"
    address: str | None = None
    table: str
    time: str = "time"
    max_age: float | None = None
    delay: float = 0.0
    timeout: float = 0.02
    fallback: Fallback = "missing"

    def newest(self, now: dt.datetime) -> dt.datetime:
        """Return the latest time that a row may have to be in the store at `now`."""
        return now - dt.timedelta(seconds=self.delay)

    def is_stale(self, time: dt.datetime | None, now: dt.datetime) -> bool:
        """Return whether a row of this time is too old at `now`; a row without a time never is."""
        return self.max_age is not None and time is not None and now - time > dt.timedelta(seconds=self.max_age)


def parse_reference(reference: str) -> tuple[str, str]:
    """Split "customers.avg_30d" into the name of the look-up and that of the value."""
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError(reference)
    return match[1], match[2]


def check_reference(column: str, reference: str, *, is_input: bool) -> None:
    """Reject a reference of another form, and one of a column that is no input.

    Raises
    ------
    SklineError
    """
    if REFERENCE.fullmatch(reference) is None:
        raise SklineError(
            f"contract column {column!r} has lookup={reference!r}; write the name of the look-up in lower case, a dot "
            'and the name of the value: lookup="customers.avg_30d"'
        )
    if not is_input:
        raise SklineError(f"contract column {column!r} has a lookup and is not in Inputs; move it there, or remove it")
