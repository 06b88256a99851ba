"""The section `lookups` of params.yaml: where the inputs that callers do not send come from."""

import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from skline.contract.lookup import Fallback, Lookup, parse_reference
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.settings.base import SettingsSection
from skline.settings.monitor import Duration
from skline.settings.source import PARQUET_SUFFIXES, PASSWORD, SECRET, Source

PROVIDERS = ("parquet", "postgresql", "redis", "feast")
#: A function of the project, as module:function.
FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
KEY_KINDS = ("string", "integer")


class LookupSettings(SettingsSection):
    """One look-up."""

    key: str = Field(description="The input that callers send, by whose value the store is searched")
    history: Source = Field(
        description="The table of all values over time, for training: the key, the time and the values; as `source`"
    )
    provider: str = Field(
        default="parquet",
        description="The store that the service asks: parquet, postgresql, redis, feast, or a function of the project "
        "as module:function",
    )
    address: str | None = Field(
        default=None,
        description="Address of the store, without a password; by default history.uri for parquet. "
        "SKLINE_LOOKUPS__NAME overrides it",
    )
    table: str | None = Field(
        default=None,
        description="Table of PostgreSQL, prefix of Redis' keys, or feature view of Feast; by default the name",
    )
    time: str = Field(default="time", description="Column of the time from which on a row's values are true, UTC")
    max_age: Duration | None = Field(
        default=None, description="Age from which on values are not used any more, such as 2d; null: any"
    )
    delay: Duration | None = Field(
        default=None, description="Time from a row's time to its arrival in the store; null: none"
    )
    timeout: Annotated[float, Field(gt=0, le=10)] = Field(
        default=0.02, description="Seconds that a request waits for the store"
    )
    fallback: Fallback = Field(
        default="missing",
        description="Of a row without values: missing (its inputs are missing), or error (it is rejected)",
    )

    @field_validator("provider")
    @classmethod
    def _check_provider(cls, provider: str) -> str:
        if provider not in PROVIDERS and not FUNCTION.fullmatch(provider):
            raise ValueError(f"write one of {', '.join(PROVIDERS)}, or a function as module:function")
        return provider

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Reject a secret, which params.yaml shows to all, without repeating it; and values that never are used."""
        if self.address is not None and (PASSWORD.search(self.address) or SECRET.search(self.address)):
            raise SklineError(
                "lookups: an address holds a password or a token, and params.yaml is committed for all to read: remove "
                "it, and set the whole address in the environment (SKLINE_LOOKUPS__NAME)"
            )
        if self.delay is not None and self.max_age is not None and self.delay >= self.max_age:
            raise ValueError("delay has to be shorter than max_age, or no row is ever used")
        return self

    def definition(self, name: str) -> Lookup:
        """Return what the contract holds of it; `name` is the look-up's."""
        address = self.address
        if address is None and self.provider == "parquet" and self.history.uri.endswith(PARQUET_SUFFIXES):
            address = self.history.uri
        return Lookup(
            key=self.key,
            provider=self.provider,
            address=address,
            table=self.table or name,
            time=self.time,
            max_age=None if self.max_age is None else self.max_age.total_seconds(),
            delay=0.0 if self.delay is None else self.delay.total_seconds(),
            timeout=self.timeout,
            fallback=self.fallback,
        )


def with_lookups(contract: Contract, lookups: Mapping[str, LookupSettings]) -> Contract:
    """Add the definitions of the look-ups to a contract whose columns name them.

    Raises
    ------
    SklineError
        If a look-up is not defined or nothing takes it, its key is no input that callers send, a column needs a value
        that it may not get, or there is no column of role `time` for training.
    """
    names = [parse_reference(column.lookup)[0] for column in contract.looked_up if column.lookup is not None]
    for name in lookups:
        if name not in names:
            raise SklineError(
                f"lookups.{name} in params.yaml is taken by no column: give an input of src/model/contract.py "
                f'lookup="{name}.VALUE", or remove the section'
            )
    for column, name in zip(contract.looked_up, names, strict=True):
        if name not in lookups:
            raise SklineError(
                f"contract column {column.name!r} has lookup={column.lookup!r}, and params.yaml has no lookups.{name}; "
                "define it there, with key and history"
            )
        if lookups[name].fallback == "missing" and not column.nullable:
            raise SklineError(
                f"contract column {column.name!r} is missing where lookups.{name} has no value; declare it with "
                f"nullable=True, or set lookups.{name}.fallback: error, which rejects such rows"
            )
    for name in dict.fromkeys(names):
        _check_key(contract, name, lookups[name].key)
    if names and len(contract.with_role("time")) != 1:
        raise SklineError(
            "contract: for a look-up, training takes the values at the time of each row; give one column of Labelled "
            'role="time"'
        )
    if not names:
        return contract
    definitions = {name: lookups[name].definition(name) for name in dict.fromkeys(names)}
    return contract.model_copy(update={"lookups": definitions})


def _check_key(contract: Contract, name: str, key: str) -> None:
    """Raise SklineError unless the key is an input that callers send, text or a whole number."""
    column = next((column for column in contract.for_requests().inputs if column.name == key), None)
    if column is None:
        raise SklineError(
            f"lookups.{name}.key is {key!r}, which is no input that callers send; name one of "
            f"{', '.join(contract.for_requests().input_names)}, or add it to Inputs"
        )
    if column.kind not in KEY_KINDS:
        raise SklineError(
            f"lookups.{name}.key is {key!r}, a {column.kind}; a key is text (str) or a whole number (int)"
        )
