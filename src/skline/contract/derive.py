"""Derive the contract from the user's pandera classes, and reject what the contract cannot express.

Every check of `Inputs` is either translated here or an error: training and serving must validate a row alike.
"""

import datetime as dt
from collections.abc import Mapping
from types import ModuleType
from typing import Any, get_args

import pandera.pandas as pa

from skline.contract.column_checks import check_column
from skline.contract.lookup import check_reference
from skline.contract.notation import check_notation
from skline.contract.spec import Column, Contract, Kind, Role, Scalar, Task
from skline.contract.table import DEFAULT_GROUPS, METADATA, Table
from skline.errors import SklineError

#: Checks that follow from the type; the JSON form omits them.
IMPLIED = {"finite", "exact_integer", "whole", "boolean", "date_only"}


def derive_module(module: ModuleType) -> Contract:
    """Derive the contract from a module with `Inputs`, `Labelled` and, optionally, `LEAKS`."""
    return derive(module.Inputs, module.Labelled, getattr(module, "LEAKS", {}))


def derive(inputs: type[Table], labelled: type[Table], leaks: Mapping[str, str]) -> Contract:
    """Turn a pair of table classes into a Contract.

    Parameters
    ----------
    inputs : subclass of Table
        The columns that a caller knows at prediction time.
    labelled : subclass of `inputs`
        The same columns and those that only training rows have; exactly one has the role "target".
    leaks : mapping from column name to reason
        Columns of the source that are not known at prediction time.

    Raises
    ------
    SklineError
        If a column has a type, a check or a role that the contract cannot express, or is declared a leak.
    """
    if not issubclass(labelled, inputs):
        raise SklineError("contract: Labelled must inherit from Inputs, so that every training row holds the inputs")
    _reject_table_checks(inputs)
    schema, input_kinds = labelled.to_schema(), inputs.kinds()
    columns = [
        _column(schema.columns[name], name, kind, is_input=name in input_kinds)
        for name, kind in labelled.kinds().items()
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


def _reject_table_checks(inputs: type[Table]) -> None:
    """Reject checks over several columns of Inputs: the API cannot repeat them."""
    checks = [check.name or str(check) for check in inputs.table_checks()]
    if checks:
        raise SklineError(
            f"contract: Inputs has checks over the whole table ({', '.join(checks)}), which /predict cannot "
            "repeat; move them to Labelled or write them as rules of single columns"
        )


def _column(field: Any, name: str, kind: Kind, *, is_input: bool) -> Column:
    """Derive one column from a pandera field."""
    own: dict[str, Any] = (field.metadata or {}).get(METADATA, {})
    if own.get("notation") is not None:
        try:
            check_notation(own["notation"], kind)
        except SklineError as error:
            raise SklineError(f"contract column {name!r} ({kind}): {error}") from None
    lookup = own.get("lookup")
    if lookup is not None:
        check_reference(name, lookup, is_input=is_input)
    rules = _rules(name, field.checks, strict=is_input)
    column = Column(
        name=name,
        kind=kind,
        role=_role(name, own.get("role"), is_input=is_input),
        notation=own.get("notation"),
        missing=None if own.get("missing") is None else tuple(own["missing"]),
        lookup=lookup,
        nullable=field.nullable,
        unique=field.unique,
        description=field.description or "",
        example=_example(name, kind, own.get("example"), required=is_input and not field.nullable and lookup is None),
        feature_group=own.get("feature_group") or DEFAULT_GROUPS[kind],
        segment=bool(own.get("segment")),
        sensitive=bool(own.get("sensitive")),
        **rules,
    )
    check_column(column)
    return column


def _role(name: str, declared: Any, *, is_input: bool) -> Role:
    """Return the role of a column; SklineError if the declared one does not exist, or is not one of an input."""
    declarable = [role for role in get_args(Role) if role != "input"]
    if declared not in (None, *declarable):
        raise SklineError(
            f"contract column {name!r} has role={declared!r}; use one of {', '.join(declarable)}, or omit it: the "
            "columns of Inputs are the inputs"
        )
    if is_input and declared not in (None, "segment"):
        raise SklineError(
            f"contract column {name!r} is in Inputs and has role={declared!r}; move it to Labelled, or omit the role"
        )
    role: Role = "input" if is_input else (declared or "segment")
    return role


def _example(name: str, kind: Kind, example: Scalar | None, *, required: bool) -> Scalar | None:
    """Return the example as JSON; SklineError if a required column has none."""
    if example is None and required:
        raise SklineError(f"contract column {name!r} ({kind}) has no example; add example=… as a client would send it")
    as_json: Scalar | None = _scalar(example)
    return as_json


def _rules(name: str, checks: list[pa.Check], *, strict: bool) -> dict[str, Any]:
    """Translate pandera checks to fields of Column; reject unknown ones if `strict`."""
    rules: dict[str, Any] = {}
    for check in checks:
        statistics = check.statistics or {}
        match check.name:
            case "greater_than_or_equal_to":
                rules["minimum"] = _scalar(statistics["min_value"])
            case "greater_than":
                rules["exclusive_minimum"] = _scalar(statistics["min_value"])
            case "less_than_or_equal_to":
                rules["maximum"] = _scalar(statistics["max_value"])
            case "less_than":
                rules["exclusive_maximum"] = _scalar(statistics["max_value"])
            case "isin":
                rules["choices"] = tuple(dict.fromkeys(_scalar(value) for value in statistics["allowed_values"]))
            case "str_length":
                rules["min_length"], rules["max_length"] = statistics["min_value"], statistics["max_value"]
            case "pattern":
                rules["pattern"] = statistics["pattern"]
            case implied if implied in IMPLIED:
                pass
            case other if strict:
                raise SklineError(
                    f"contract column {name!r} has the check {other!r}, which /predict cannot repeat; "
                    "use ge, gt, le, lt, isin, min_length, max_length or pattern, or move it to Labelled"
                )
    if "choices" in rules and len(rules) > 1:
        raise SklineError(
            f"contract column {name!r} has isin and other rules; a closed set needs no other rule, remove them"
        )
    return rules


def _scalar(value: Any) -> Any:
    """Convert a bound, a choice or an example to JSON: dates to text, NumPy scalars to Python scalars."""
    if isinstance(value, dt.datetime):
        midnight = value.time() == dt.time()
        return value.date().isoformat() if midnight else value.isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def _task(target: Column) -> tuple[Task, tuple[Scalar, ...] | None]:
    """Return the task of the target and its classes in scikit-learn's order (None for a regression)."""
    if target.kind == "boolean":
        return "binary", (False, True)
    if target.choices is not None:
        classes = tuple(sorted(target.choices))
        if len(classes) < 2:
            raise SklineError(
                f"contract column {target.name!r} is the target and has isin={list(classes)}; a classifier needs two "
                "classes or more, list all of them"
            )
        return ("binary" if len(classes) == 2 else "multiclass"), classes
    if target.kind in ("integer", "number"):
        return "regression", None
    raise SklineError(
        f"contract column {target.name!r} is the target and a {target.kind}; give isin=[…] with its classes"
    )
