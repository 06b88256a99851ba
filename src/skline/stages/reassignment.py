"""Compare the parts of a table with those that it has by an earlier contract, whose columns differ."""

import tempfile
from pathlib import Path

from skline import paths
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.partition import PARTS, identity_columns
from skline.split_rule import Split
from skline.stages.table_partition import Frames, TablePartition


def describe_reassignment(
    frames: Frames, before: Contract, contract: Contract, settings: Split, folder: Path | None = None
) -> str | None:
    """Say how many rows of the test part were in another part, because other columns assign them now.

    Rows without an id are assigned by their contents, so that a new column changes the parts of all.

    Parameters
    ----------
    frames : function
        Returns the batches of the validated rows.
    before : Contract
        The contract of the last model that passed its gates.
    contract : Contract
        That of the rows.
    settings : Split
    folder : Path, optional
        For temporary files, which the caller removes; without one the table is a single batch.

    Returns
    -------
    str or None
        None if the same columns assign the rows.
    """
    if settings.kind != "random" and not before.with_role(settings.kind):
        return None  # another kind of split was set, which a person knows
    old = {column.name for column in identity_columns(before, settings)}
    new = {column.name for column in identity_columns(contract, settings)}
    if old == new:
        return None
    text = "The test part has other rows than before"
    if old <= set(next(frames(None)).columns):
        n_moved, n_test = _count_moved(frames, before, contract, settings, folder)
        text = f"{n_moved:,} of {n_test:,} rows of the test part were in another part before"
    if len(new) == 1:
        return f"{text}: rows are assigned by {new.pop()!r} now."
    changes = [
        f"{', '.join(map(repr, sorted(names)))} {'is' if len(names) == 1 else 'are'} {word}"
        for names, word in ((new - old, "new"), (old - new, "gone"))
        if names
    ]
    return (
        f"{text}: rows without an id are assigned by their contents, and of the columns {' and '.join(changes)}. "
        'Metrics are of other rows than before. To keep the parts when columns change, declare a column with role="id" '
        "in src/model/contract.py, or set split.kind in params.yaml to time or group."
    )


def _count_moved(
    frames: Frames, before: Contract, contract: Contract, settings: Split, folder: Path | None
) -> tuple[int, int]:
    """Return how many rows of the test part another contract assigns to another part, and how many it has."""
    test, n_moved, n_test, first_row = PARTS.index("test"), 0, 0, 0
    now, then = (TablePartition(frames, each, settings, folder) for each in (contract, before))
    for rows in frames(None):
        is_test = now.assign(rows, first_row) == test
        n_moved += int((then.assign(rows, first_row)[is_test] != test).sum())
        n_test += int(is_test.sum())
        first_row += len(rows)
    return n_moved, n_test


def print_reassignment(frames: Frames, contract: Contract, settings: Split, folder: Path) -> None:
    """Compare the parts with those by the contract of the last admitted model, and print how they differ."""
    path = paths.ARTIFACT / "contract.json"
    if not path.exists():
        return
    try:
        before = Contract.read(path)
    except (SklineError, ValueError) as error:  # of another version, or damaged: this stage does without
        print(f"the parts were not compared with those before: {path} cannot be read: {str(error).splitlines()[0]}")
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=".temporary.") as temporary:
        note = describe_reassignment(frames, before, contract, settings, Path(temporary))
    if note:
        print(note)
