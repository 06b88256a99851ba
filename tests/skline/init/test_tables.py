"""Every table in `tables/` is read as the file beside it says.

To add a case, add two files: `NAME.csv` (or any other format), and `NAME.yaml` with the expected reading, whose keys
`Reading` documents. A table has one oddity, and 12 rows or more: fewer are too few to split.
"""

import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from skline.errors import SklineError
from skline.init.plan import InitOptions, InitPlan, make_plan
from skline.init.report import review_notes
from skline.settings.schema import schema_text

TABLES = Path(__file__).parent / "tables"
#: By which editors, and `check-jsonschema`, check what init writes.
SCHEMA = json.loads(schema_text())
#: When the tables are read: none of them has ended long before.
WHEN = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
NO_DOUBT = "Nothing is in doubt."


class Reading(BaseModel):
    """The expected reading of a table. A key that is not set is not compared, except `remarks` and `error`."""

    model_config = ConfigDict(extra="forbid")

    #: The oddity and its rule, in one sentence.
    about: str
    #: Options of `skline init`.
    target: str = "y"
    options: dict[str, Any] = {}
    #: The message of the error, or a part of it; all other keys are those of a table that is accepted.
    error: str | None = None
    #: Kinds of all columns, in the order of the table.
    columns: dict[str, str] | None = None
    rows: int | None = None
    #: Keys of the section `source` that init writes into params.yaml, all but `uri`.
    source: dict[str, Any] | None = None
    #: Part of every line that asks to be checked; with none, the report must say that nothing is in doubt.
    remarks: list[str] = []
    #: Of some columns: the role, the notation, the values in the first rows (as text), and the number of missing cells.
    roles: dict[str, str] = {}
    notations: dict[str, str | None] = {}
    values: dict[str, list[str]] = {}
    missing: dict[str, int] = {}


def table_of(expected: Path) -> Path:
    """Return the table beside a file of an expected reading."""
    tables = [path for path in expected.parent.glob(f"{expected.stem}.*") if path.suffix != ".yaml"]
    assert len(tables) == 1, f"{expected.name} needs exactly one table beside it; there are {len(tables)}"
    return tables[0]


def plan_of(expected: Path, reading: Reading) -> InitPlan:
    """Plan as `skline init` does."""
    table = table_of(expected)
    options = InitOptions(str(table), reading.target, **reading.options)
    return make_plan(table, f"data/source/{table.name}", options, now=WHEN)


def source_of(plan: InitPlan) -> dict[str, Any]:
    """Return the section `source` of the planned params.yaml, without `uri`."""
    section: dict[str, Any] = yaml.safe_load(plan.files[Path("params.yaml")])["source"]
    return {key: value for key, value in section.items() if key != "uri"}


def check_remarks(plan: InitPlan, remarks: list[str]) -> None:
    """Assert that the report lists these remarks, each on its own line, and no other."""
    notes = review_notes(plan.guesses, plan.remarks, plan.retraining_remarks)
    if not remarks:
        assert notes == NO_DOUBT
    lines = notes.splitlines()[1:]
    assert [remark for remark in remarks if not any(remark in line for line in lines)] == [], notes
    assert [line for line in lines if not any(remark in line for remark in remarks)] == [], notes


def check_columns(plan: InitPlan, reading: Reading) -> None:
    """Assert what the reading says about columns."""
    guesses = {guess.name: guess for guess in plan.guesses}
    if reading.columns is not None:
        assert {name: guess.kind for name, guess in guesses.items()} == reading.columns
        assert list(guesses) == list(reading.columns)
    assert {name: guesses[name].role for name in reading.roles} == reading.roles
    assert {name: guesses[name].notation for name in reading.notations} == reading.notations
    for name, values in reading.values.items():
        assert [str(value) for value in itertools.islice(guesses[name].values, len(values))] == values
    assert {name: int(guesses[name].values.isna().sum()) for name in reading.missing} == reading.missing


@pytest.mark.parametrize("expected", sorted(TABLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_table_is_read_as_expected(expected: Path) -> None:
    reading = Reading.model_validate(yaml.safe_load(expected.read_text(encoding="utf-8")))
    if reading.error is not None:
        with pytest.raises(SklineError) as caught:
            plan_of(expected, reading)
        assert reading.error in str(caught.value)
        assert "\n" not in str(caught.value)
        return
    plan = plan_of(expected, reading)
    if reading.rows is not None:
        assert plan.n_rows == reading.rows
    if reading.source is not None:
        assert source_of(plan) == reading.source
    jsonschema.validate(yaml.safe_load(plan.files[Path("params.yaml")]), SCHEMA)
    check_columns(plan, reading)
    check_remarks(plan, reading.remarks)


def test_every_table_has_an_expected_reading() -> None:
    tables = {path.stem for path in TABLES.iterdir() if not path.name.startswith(".")}
    assert tables == {path.stem for path in TABLES.glob("*.yaml")}
