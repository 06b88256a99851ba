"""Check that a challenger fits a champion: it has the same target, and reads only inputs that requests contain."""

from skline.contract.lookup import Lookup, parse_reference
from skline.contract.spec import Column, Contract
from skline.errors import SklineError


def challenger_columns(challenger: Contract, champion: Contract) -> tuple[str, ...] | None:
    """Return the inputs that a challenger reads from a champion's rows; None if it reads all, in their order.

    Raises
    ------
    SklineError
        If it predicts another target, or reads an input that the rows lack, that has another type there, may be missing
        there only, or comes from another look-up.
    """
    challenger_target = (challenger.task, challenger.classes, challenger.target.name)
    champion_target = (champion.task, champion.classes, champion.target.name)
    if challenger_target != champion_target:
        raise SklineError(f"it predicts another target: {challenger_target}, and the champion {champion_target}")
    champion_inputs = {column.name: column for column in champion.inputs}
    for column in challenger.inputs:
        available = champion_inputs.get(column.name)
        if available is None:
            raise SklineError(f"it reads {column.name!r}, which the champion's requests do not contain")
        if available.kind != column.kind or (available.nullable and not column.nullable):
            kind = f"{available.kind}{', may be missing' if available.nullable else ''}"
            raise SklineError(f"it reads {column.name!r} as {column.kind}; in the champion's requests it is {kind}")
        if _origin(available, champion) != _origin(column, challenger):
            raise SklineError(f"it reads {column.name!r} from another look-up, or the champion does not look it up")
    names = tuple(challenger.input_names)
    return None if list(names) == champion.input_names else names


def _origin(column: Column, contract: Contract) -> tuple[str, Lookup] | None:
    """Return what an input is looked up by; None if callers send it."""
    if column.lookup is None:
        return None
    name, value = parse_reference(column.lookup)
    return value, contract.lookups[name]
