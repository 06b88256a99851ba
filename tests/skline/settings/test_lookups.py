"""The section `lookups` of params.yaml, and its agreement with the contract."""

import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from skline.contract.derive import derive
from skline.contract.spec import Contract
from skline.contract.table import Table, column
from skline.errors import SklineError
from skline.settings.lookups import LookupSettings, with_lookups
from tests.fixtures import customers

SETTINGS = {"key": "customer_id", "history": {"uri": "data/lookups/customers.parquet"}}


def settings(**changes: Any) -> dict[str, LookupSettings]:
    return {"customers": LookupSettings.model_validate(SETTINGS | changes)}


def test_the_contract_holds_what_a_server_needs_and_survives_json() -> None:
    contract = customers.contract(max_age="2d", delay="1h", timeout=0.1)
    lookup = contract.lookups["customers"]
    assert (lookup.address, lookup.table, lookup.max_age, lookup.delay) == (
        "customers.parquet",
        "customers",
        172_800,
        3_600,
    )
    assert Contract.from_json(contract.to_json()) == contract


def test_requests_lack_the_inputs_that_are_looked_up() -> None:
    contract = customers.contract()
    assert contract.for_requests().input_names == ["customer_id", "amount"]
    assert contract.input_names == ["customer_id", "amount", "avg_30d", "orders", "tier"]
    assert contract.values_of_lookup("customers") == {"avg_30d": "avg_30d", "orders": "n", "tier": "tier"}


def test_a_contract_without_lookups_is_written_as_before() -> None:
    class Inputs(Table):
        a: int = column("A number", example=1)

    class Labelled(Inputs):
        b: bool = column("A label", role="target")

    contract = derive(Inputs, Labelled, {})
    assert "lookup" not in contract.to_json()
    assert contract.for_requests() is contract


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": "avg_30d"}, "key is 'avg_30d', which is no input that callers send; name one of customer_id, amount"),
        ({"key": "amount"}, "a number; a key is text"),
    ],
)
def test_a_key_is_an_input_that_callers_send(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SklineError, match=message):
        customers.contract(**changes)


def test_a_lookup_that_is_not_defined_or_not_taken_is_an_error() -> None:
    contract = derive(customers.Inputs, customers.Labelled, {})
    with pytest.raises(SklineError, match=r"'avg_30d' has lookup='customers.avg_30d', and params.yaml has no lookups"):
        with_lookups(contract, {})
    with pytest.raises(SklineError, match=r"lookups.shops in params.yaml is taken by no column"):
        with_lookups(contract, settings() | {"shops": settings()["customers"]})


def test_a_column_that_may_not_be_missing_needs_the_fallback_error() -> None:
    class Inputs(Table):
        customer_id: int = column("Number", example=1)
        age: int = column("Age", lookup="customers.age")

    class Labelled(Inputs):
        paid: bool = column("Paid", role="target")
        at: dt.datetime = column("Time", role="time")

    contract = derive(Inputs, Labelled, {})
    with pytest.raises(SklineError, match="nullable=True, or set lookups.customers.fallback: error"):
        with_lookups(contract, settings())
    assert with_lookups(contract, settings(fallback="error")).lookups["customers"].fallback == "error"


@pytest.mark.parametrize("reference", ["customers", "Customers.age", "customers.", "customers.a b"])
def test_a_reference_names_a_lookup_and_a_value(reference: str) -> None:
    class Inputs(Table):
        age: int = column("Age", nullable=True, lookup=reference)

    class Labelled(Inputs):
        paid: bool = column("Paid", role="target")

    with pytest.raises(SklineError, match="write the name of the look-up"):
        derive(Inputs, Labelled, {})


def test_a_password_in_the_address_is_rejected_and_not_repeated() -> None:
    with pytest.raises(SklineError) as raised:
        settings(provider="redis", address="redis://:secret@host:6379")
    assert "SKLINE_LOOKUPS__NAME" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "changes", [{"provider": "mysql"}, {"delay": "2d", "max_age": "1d"}, {"timeout": 0}, {"ttl": 1}]
)
def test_settings_are_closed(changes: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, SklineError)):
        settings(**changes)
