"""The contract derived from Inputs and Labelled, its JSON form, and the declarations that it rejects."""

import datetime as dt
from typing import Any

import pandera.pandas as pa
import pytest

from skline.contract.derive import derive
from skline.contract.frames import to_frame
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
        (column("x", example=1, ge=0.5), int, r"\(integer\) has ge=0.5, which is no whole number; write ge=1"),
        (column("x", example=1, gt=0.5), int, r"has gt=0.5, .* write gt=0"),
        (column("x", example=1, le=9.5), int, r"has le=9.5, .* write le=9"),
        (column("x", example=1, lt=9.5), int, r"has lt=9.5, .* write lt=10"),
        (column("x", example=1, le=float("inf")), int, r"has le=inf, .* remove it"),
        (column("x", example=1.0, notation="-1.234,5"), float, "notation='-1.234,5' is not a number without a sign"),
        (column("x", example=1, isin=[1, 2.5]), int, "has isin=2.5, which is no whole number; remove it"),
        (column("x", example="a", isin=["a"], max_length=3), str, "has isin and other rules"),
        (column("x", example="a", isin=[]), str, r"has isin=\[\], which allows no value"),
        (column("x", example="1", isin=["1", 2]), str, "has isin=2, which is not of its type; write text in quotes"),
        (column("x", example="a", ge=3), str, "has ge=3, which is not of its type; write text in quotes"),
        (column("x", example=1, le="9"), int, "has le='9', which is not of its type; write a whole number"),
        (column("x", example="2026-01-31", ge="31.01.2026"), dt.date, "has ge='31.01.2026', .* write a date"),
        (column("x", example="2026-01-31", ge=dt.datetime(2026, 1, 1, 12)), dt.date, "has ge='2026-01-01T12:00:00'"),
        (column("x", example=1, pattern="[0-9]"), int, r"has pattern='\[0-9\]', which is for strings; remove it"),
        (column("x", example=1.5, max_length=3), float, "has max_length=3, which is for strings"),
        (column("x", example="a", pattern="["), str, r"has pattern='\[', which is no regular expression"),
        (column("x", example="abc"), float, "has example='abc', which its own rules reject .* a finite number"),
        (column("x", example=-1, ge=0), int, "has example=-1, .* greater than or equal to 0"),
        (column("x", example="31.01.2026"), dt.date, "has example='31.01.2026', .* YYYY-MM-DD"),
        (column("x", example=1, ge=5, le=8), int, "has example=1, which its own rules reject"),
        (column("x", example=1, ge=5, le=3), int, "has ge=5 and le=3, which no value satisfies; correct one of them"),
        (column("x", example=0.5, gt=0.5, lt=0.5), float, "has gt=0.5 and lt=0.5, which no value satisfies"),
        (
            column("x", example=dt.date(2026, 2, 1), ge=dt.date(2026, 2, 1), lt=dt.date(2026, 2, 1)),
            dt.date,
            "has ge='2026-02-01' and lt='2026-02-01', which no value satisfies",
        ),
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


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"isin": "ab"}, r"has isin='ab'; write a list: isin=\['ab'\]"),
        ({"isin": {"b", "a"}}, r"write a list: isin=\['a', 'b'\]"),
        ({"missing": "NA"}, r"write a list: missing=\['NA'\]"),
    ],
)
def test_rejects_text_and_sets_in_place_of_a_list(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(SklineError, match=message):
        column("A letter", example="a", **rules)


def test_bounds_and_example_may_be_dates_and_have_a_time_zone() -> None:
    class Flights(Table):
        """A flight."""

        day: dt.date = column("Day", example=dt.date(2026, 1, 31), ge=dt.date(2026, 1, 1))
        left: dt.datetime = column(
            "Departure",
            example="2026-01-31T14:05:00Z",
            ge=dt.datetime(2026, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        )

    class Labelled(Flights):
        """A flight and its result."""

        y: bool = column("Target", role="target")

    contract = derive(Flights, Labelled, {})
    assert contract["day"].example == "2026-01-31"
    assert contract["left"].minimum == "2026-01-01T01:00:00"
    frame = to_frame(contract.inputs, [{"day": dt.date(2026, 1, 31), "left": dt.datetime(2026, 1, 1, 1)}])
    Flights.validate(frame)


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


def target_of(annotation: type, **rules: Any) -> type[Table]:
    return type(
        "Labelled",
        (Inputs,),
        {"__annotations__": {"y": annotation}, "y": column("t", **rules), "__module__": __name__},
    )


def test_a_class_that_is_listed_twice_is_one_class() -> None:
    assert derive(Inputs, target_of(str, role="target", isin=["a", "b", "a"]), {}).classes == ("a", "b")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"role": "target", "isin": ["a"]}, r"'y' is the target and has isin=\['a'\]; a classifier needs two"),
        ({"role": "taget", "isin": ["a", "b"]}, "'y' has role='taget'; use one of target, id, time, group, segment"),
        ({"role": "input"}, "'y' has role='input'; .* the columns of Inputs are the inputs"),
    ],
)
def test_rejects_target_of_one_class_and_unknown_roles(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(SklineError, match=message):
        derive(Inputs, target_of(str, **rules), {})


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
