"""The interface of a store of looked-up values; each provider has a file in this folder."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from skline.contract.lookup import Lookup
from skline.contract.spec import Contract
from skline.errors import SklineError

#: A value of the key: text or a whole number.
Key = str | int


class Found(NamedTuple):
    """What a store holds for a key.

    Attributes
    ----------
    time : datetime or None
        From when on the values were true, UTC without a zone; None if the store does not know.
    values : mapping of str to value
        By the names of the contract's columns.
    """

    time: dt.datetime | None
    values: Mapping[str, Any]


class Store(Protocol):
    """A store of values by key.

    Attributes
    ----------
    threads : int
        Threads that may call `get` at the same time; 0: it is so fast that the event loop calls it.
    """

    threads: int

    def open(self) -> None:
        """Prepare what would take longer than a request waits; it is called before the first request."""

    def get(self, keys: Sequence[Key], now: dt.datetime) -> Sequence[Found | None]:
        """Return what is known of each key at `now` (UTC, without a zone); None where nothing is.

        It may raise any exception, and may take any time: callers wait no longer than their timeout.
        """

    def close(self) -> None:
        """Close connections; it is called once."""


@dataclass(frozen=True)
class StoreRequest:
    """What a store is opened for.

    Attributes
    ----------
    name : str
        Name of the look-up.
    lookup : Lookup
    contract : Contract
        Of the model.
    address : str or None
        From the environment, else from the look-up.
    timeout : float
        Seconds that callers wait.
    patient : bool
        Whether callers rather wait than go without values: then a changed file is read at a call, not in the
        background.
    """

    name: str
    lookup: Lookup
    contract: Contract
    address: str | None
    timeout: float
    patient: bool = False

    @property
    def value_names(self) -> dict[str, str]:
        """The names of the values in the store, by the names of the inputs."""
        return self.contract.values_of_lookup(self.name)

    def require_address(self, example: str) -> str:
        """Return the address; SklineError if there is none."""
        if self.address is None:
            raise SklineError(
                f"the look-up {self.name} has no address; set {variable_of(self.name)}={example} in the environment"
            )
        return self.address


def variable_of(name: str) -> str:
    """Return the environment variable with the address of a look-up's store."""
    return f"SKLINE_LOOKUPS__{name.upper()}"
