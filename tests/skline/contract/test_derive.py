"""The contract in its JSON form, and what it cannot hold."""

import datetime as dt
from typing import Any

import pandera.pandas as pa
import pytest

from skline.contract.derive import derive
from skline.contract.spec import Contract
from skline.contract.table import Table, column
from skline.errors import SklineError
from tests import demo


class Inputs(Table):
    """One input."""

    age: int = column("Age", example=3, ge=0)


class Labelled(Inputs):
    """And a target."""

    y: bool = column("Target", role="target")


def test_json_form_survives_a_round_trip() -> None:
    contract = demo.contract()
    assert Contract.from_json(contract.to_json()) == contract
    assert Contract.from_json(contract.to_json()).digest() == contract.digest()


def test_inputs_and_roles_are_told_apart() -> None:
    contract = demo.contract()
    assert contract.input_names == [
        "flight_date", "carrier", "origin", "dest", "distance", "sched_dep_time", "sched_arr_time",
    ]  # fmt: skip
    assert (contract.target.name, contract.by_role("id").name, contract.by_role("time").name) == (
        "late", "flight_id", "departed_at",
    )  # fmt: skip
    assert [column.name for column in contract.segments] == ["carrier", "origin", "month"]
    assert (contract.task, contract.classes) == ("binary", (False, True))


def test_a_leak_among_the_inputs_is_refused() -> None:
    with pytest.raises(SklineError, match="'age' is declared a leak .known later."):
        derive(Inputs, Labelled, {"age": "known later"})


@pytest.mark.parametrize(
    ("field", "annotation", "message"),
    [
        (column("x"), int, "has no example"),
        (column("x", example=1, role="id"), int, "is in Inputs and has role='id'"),
        (
            column("x", example=[1]),
            list,
            "use one of int, float, bool, str, datetime.date, datetime.datetime",
        ),
        (column("x", example="a", isin=["a"], max_length=3), str, "has isin and other rules"),
        (pa.Field(str_startswith="a", metadata={"skline": {"example": "a"}}), str, "cannot repeat"),
    ],
)
def test_what_an_api_could_not_repeat_is_refused_by_name(field: Any, annotation: type, message: str) -> None:
    inputs = type("Inputs", (Table,), {"__annotations__": {"odd": annotation}, "odd": field, "__module__": __name__})
    labelled = type(
        "Labelled",
        (inputs,),
        {"__annotations__": {"y": bool}, "y": column("t", role="target"), "__module__": __name__},
    )
    with pytest.raises(SklineError, match=message) as caught:
        derive(inputs, labelled, {})
    assert "'odd'" in str(caught.value)


def test_a_contract_needs_exactly_one_target() -> None:
    with pytest.raises(SklineError, match="exactly one column of Labelled must have role='target', found \\[\\]"):
        derive(Inputs, Inputs, {})


@pytest.mark.parametrize(
    ("annotation", "rules", "task", "classes"),
    [
        (bool, {}, "binary", (False, True)),
        (str, {"isin": ["no", "yes"]}, "binary", ("no", "yes")),
        (str, {"isin": ["c", "a", "b"]}, "multiclass", ("a", "b", "c")),
        (int, {"isin": [3, 1, 2]}, "multiclass", (1, 2, 3)),
        (float, {}, "regression", None),
        (int, {}, "regression", None),
    ],
)
def test_the_target_says_the_task(annotation: type, rules: dict[str, Any], task: str, classes: Any) -> None:
    labelled = type(
        "Labelled",
        (Inputs,),
        {
            "__annotations__": {"y": annotation},
            "y": column("t", role="target", **rules),
            "__module__": __name__,
        },
    )
    contract = derive(Inputs, labelled, {})
    assert (contract.task, contract.classes) == (task, classes)


def test_a_date_cannot_be_the_target() -> None:
    labelled = type(
        "Labelled",
        (Inputs,),
        {"__annotations__": {"y": dt.date}, "y": column("t", role="target"), "__module__": __name__},
    )
    with pytest.raises(SklineError, match="give isin"):
        derive(Inputs, labelled, {})
