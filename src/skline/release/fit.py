"""Whether a challenger can stand beside a champion: it answers the same question, from inputs that requests hold."""

from skline.contract.spec import Contract
from skline.errors import SklineError


def columns_of(challenger: Contract, champion: Contract) -> tuple[str, ...] | None:
    """The inputs that a challenger reads out of a champion's rows; None if those are all, in their order.

    Raises
    ------
    SklineError
        If it reads what the rows do not hold, or answers something else.
    """
    mine = (challenger.task, challenger.classes, challenger.target.name)
    theirs = (champion.task, champion.classes, champion.target.name)
    if mine != theirs:
        raise SklineError(f"it answers another question: {mine}, and the champion {theirs}")
    there = {column.name: column for column in champion.inputs}
    for column in challenger.inputs:
        given = there.get(column.name)
        if given is None:
            raise SklineError(f"it reads {column.name!r}, which the champion's requests do not hold")
        if given.kind != column.kind or (given.nullable and not column.nullable):
            words = f"{given.kind}{', may be missing' if given.nullable else ''}"
            raise SklineError(
                f"it reads {column.name!r} as {column.kind}, and the champion's requests hold it as {words}"
            )
    names = tuple(challenger.input_names)
    return None if list(names) == champion.input_names else names
