"""Read the user's pandera classes into the contract's JSON form, and refuse what it cannot hold.

A rule that could not be checked at the API must not be written in `Inputs`, or training and serving
would judge the same row differently; so every check is either understood here or an error.
"""

import datetime as dt
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pandera.pandas as pa

from skline.contract import written as notation
from skline.contract.spec import Column, Contract, Kind, Role, Scalar, Task
from skline.contract.table import DEFAULT_GROUPS, METADATA, Table
from skline.errors import SklineError

#: Checks that follow from the type and need no words in the JSON form.
IMPLIED = {"finite", "exact_integer", "whole", "boolean", "date_only"}


def derive_module(module: ModuleType) -> Contract:
    """Derive the contract from a module with `Inputs`, `Labelled` and, optionally, `LEAKS`."""
    return derive(module.Inputs, module.Labelled, getattr(module, "LEAKS", {}))


def derive(inputs: type[Table], labelled: type[Table], leaks: Mapping[str, str]) -> Contract:
    """Turn a pair of table classes into a Contract.

    Parameters
    ----------
    inputs : subclass of Table
        What a caller knows when a prediction is asked for.
    labelled : subclass of `inputs`
        The same columns and those that only training rows have; exactly one has role "target".
    leaks : mapping from column name to reason
        Columns of the source that are known too late to be an input.

    Raises
    ------
    SklineError
        If a column has a type, a check or a role that the contract cannot hold, or a leak is among the columns.
    """
    if not issubclass(labelled, inputs):
        raise SklineError("contract: Labelled must inherit from Inputs, so that every training row holds the inputs")
    _refuse_table_checks(inputs)
    schema, given = labelled.to_schema(), inputs.kinds()
    columns = [
        _column(schema.columns[name], name, kind, is_input=name in given) for name, kind in labelled.kinds().items()
    ]
    for column in columns:
        if column.name in leaks:
            raise SklineError(
                f"contract column {column.name!r} is declared a leak ({leaks[column.name]}); "
                "take it out of the contract or out of LEAKS"
            )
    if not any(column.role == "input" for column in columns):
        raise SklineError("contract: Inputs has no column; declare at least one")
    targets = [column for column in columns if column.role == "target"]
    if len(targets) != 1:
        raise SklineError(
            f"contract: exactly one column of Labelled must have role='target', found {[c.name for c in targets]}"
        )
    task, classes = _task(targets[0])
    return Contract(
        title=inputs.__name__,
        description=" ".join((inputs.__doc__ or "").split()),
        columns=tuple(columns),
        leaks=dict(leaks),
        task=task,
        classes=classes,
    )


def _refuse_table_checks(inputs: type[Table]) -> None:
    """Refuse checks over several columns in Inputs: the API could not repeat them."""
    checks = [check.name or str(check) for check in inputs.to_schema().checks or []]
    if checks:
        raise SklineError(
            f"contract: Inputs has checks over the whole table ({', '.join(checks)}), which /predict cannot "
            "repeat; move them to Labelled or write them as rules of single columns"
        )


def _column(field: Any, name: str, kind: Kind, *, is_input: bool) -> Column:
    """Derive one column from pandera's."""
    own: dict[str, Any] = (field.metadata or {}).get(METADATA, {})
    role: Role = "input" if is_input else (own.get("role") or "segment")
    if is_input and own.get("role") not in (None, "segment"):
        raise SklineError(
            f"contract column {name!r} is in Inputs and has role={own['role']!r}; move it to Labelled, "
            "or leave its role out"
        )
    if own.get("written") is not None:
        notation.check(own["written"], kind)
    return Column(
        name=name,
        kind=kind,
        role=role,
        written=own.get("written"),
        nullable=field.nullable,
        unique=field.unique,
        description=field.description or "",
        example=_example(name, kind, own.get("example"), required=is_input and not field.nullable),
        feature_group=own.get("feature_group") or DEFAULT_GROUPS[kind],
        segment=bool(own.get("segment")),
        **_rules(name, field.checks, strict=is_input),
    )


def _example(name: str, kind: Kind, example: Scalar | None, *, required: bool) -> Scalar | None:
    """Return the example as JSON; a column that must be filled needs one."""
    if example is None and required:
        raise SklineError(f"contract column {name!r} ({kind}) has no example; add example=… as a client would send it")
    return example


def _rules(name: str, checks: list[pa.Check], *, strict: bool) -> dict[str, Any]:
    """Turn pandera's checks into the fields of Column; refuse unknown ones where `strict`."""
    rules: dict[str, Any] = {}
    for check in checks:
        facts = check.statistics or {}
        match check.name:
            case "greater_than_or_equal_to":
                rules["minimum"] = _scalar(facts["min_value"])
            case "greater_than":
                rules["exclusive_minimum"] = _scalar(facts["min_value"])
            case "less_than_or_equal_to":
                rules["maximum"] = _scalar(facts["max_value"])
            case "less_than":
                rules["exclusive_maximum"] = _scalar(facts["max_value"])
            case "isin":
                rules["choices"] = tuple(_scalar(value) for value in facts["allowed_values"])
            case "str_length":
                rules["min_length"], rules["max_length"] = facts["min_value"], facts["max_value"]
            case "pattern":
                rules["pattern"] = facts["pattern"]
            case implied if implied in IMPLIED:
                pass
            case other if strict:
                raise SklineError(
                    f"contract column {name!r} has the check {other!r}, which /predict cannot repeat; "
                    "use ge, gt, le, lt, isin, min_length, max_length or pattern, or move it to Labelled"
                )
    if "choices" in rules and len(rules) > 1:
        raise SklineError(
            f"contract column {name!r} has isin and other rules as well; a closed set says all, leave the others out"
        )
    return rules


def _scalar(value: Any) -> Any:
    """Write a bound or a choice as JSON: dates as text, NumPy scalars as Python's."""
    if isinstance(value, dt.datetime):
        midnight = value.time() == dt.time()
        return value.date().isoformat() if midnight else value.isoformat()
    return value.item() if hasattr(value, "item") else value


def _task(target: Column) -> tuple[Task, tuple[Scalar, ...] | None]:
    """Say what kind of prediction the target asks for, and which classes it has, in sklearn's order."""
    if target.kind == "boolean":
        return "binary", (False, True)
    if target.choices is not None:
        classes = tuple(sorted(target.choices))
        return ("binary" if len(classes) == 2 else "multiclass"), classes
    if target.kind in ("integer", "number"):
        return "regression", None
    raise SklineError(
        f"contract column {target.name!r} is the target and a {target.kind}; give isin=[…] with its classes"
    )
