"""The contract derived from Inputs and Labelled, its JSON form, and the declarations that it rejects."""

import datetime as dt
from typing import Any

import pandera.pandas as pa
import pytest

from skline.contract.derive import derive
from skline.contract.spec import Contract
from skline.contract.table import Table, column
from skline.errors import SklineError
from tests.fixtures import demo


class Inputs(Table):
    """One input."""

    age: int = column("Age", example=3, ge=0)


class Labelled(Inputs):
    """One input and a target."""

    y: bool = column("Target", role="target")


def test_json_form_round_trips() -> None:
    contract = demo.contract()
    assert Contract.from_json(contract.to_json()) == contract
    assert Contract.from_json(contract.to_json()).digest() == contract.digest()


def test_separates_inputs_from_columns_with_a_role() -> None:
    contract = demo.contract()
    assert contract.input_names == [
        "flight_date", "carrier", "origin", "dest", "distance", "sched_dep_time", "sched_arr_time",
    ]  # fmt: skip
    assert (contract.target.name, contract.by_role("id").name, contract.by_role("time").name) == (
        "late", "flight_id", "departed_at",
    )  # fmt: skip
    assert [column.name for column in contract.segments] == ["carrier", "origin", "month"]
    assert (contract.task, contract.classes) == ("binary", (False, True))


def test_rejects_input_that_is_declared_a_leak() -> None:
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
        (column("x", example=1, ge=0.5), int, r"is an integer and has ge=0.5, which is no whole number; write ge=1"),
        (column("x", example=1, gt=0.5), int, r"has gt=0.5, .* write gt=0"),
        (column("x", example=1, le=9.5), int, r"has le=9.5, .* write le=9"),
        (column("x", example=1, lt=9.5), int, r"has lt=9.5, .* write lt=10"),
        (column("x", example=1, le=float("inf")), int, r"has le=inf, .* remove le"),
        (column("x", example="a", isin=["a"], max_length=3), str, "has isin and other rules"),
        (pa.Field(str_startswith="a", metadata={"skline": {"example": "a"}}), str, "cannot repeat"),
    ],
)
def test_rejects_columns_that_an_api_cannot_express_and_names_them(field: Any, annotation: type, message: str) -> None:
    inputs = type("Inputs", (Table,), {"__annotations__": {"odd": annotation}, "odd": field, "__module__": __name__})
    labelled = type(
        "Labelled",
        (inputs,),
        {"__annotations__": {"y": bool}, "y": column("t", role="target"), "__module__": __name__},
    )
    with pytest.raises(SklineError, match=message) as caught:
        derive(inputs, labelled, {})
    assert "'odd'" in str(caught.value)


def test_rejects_contract_without_a_target() -> None:
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
def test_derives_task_and_classes_from_the_target(
    annotation: type, rules: dict[str, Any], task: str, classes: Any
) -> None:
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


def test_rejects_date_as_target() -> None:
    labelled = type(
        "Labelled",
        (Inputs,),
        {"__annotations__": {"y": dt.date}, "y": column("t", role="target"), "__module__": __name__},
    )
    with pytest.raises(SklineError, match="give isin"):
        derive(Inputs, labelled, {})


def test_a_feature_group_without_inputs_names_the_line_that_takes_it() -> None:
    groups = demo.contract().feature_groups()
    with pytest.raises(
        SklineError, match=r"test_derive\.py, line \d+ takes the feature group 'many_categories'"
    ) as caught:
        groups["many_categories"]
    assert 'give an input feature_group="many_categories"' in str(caught.value)


def test_a_word_in_the_closed_set_of_a_column_is_not_missing() -> None:
    class Country(Table):
        """A country."""

        country: str = column("Country", example="DE", isin=["DE", "NA"])
        zone: str = column("Zone", nullable=True, missing=["ND"])

    class Labelled(Country):
        """A country and its result."""

        y: bool = column("Target", role="target")

    contract = derive(Country, Labelled, {})
    assert "NA" not in contract.cell_format(contract["country"]).missing
    assert contract.cell_format(contract["zone"]).missing == {"", "ND"}
    assert contract.shared_missing() == ("",)
    assert Contract.from_json(contract.to_json()) == contract
