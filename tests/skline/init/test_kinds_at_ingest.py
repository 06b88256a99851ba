"""What `skline init` decides about a column is what the stage ingest of the generated project reads."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from skline.contract.derive import derive_module
from skline.init.dry_run import imported_source
from skline.init.project import CONTRACT
from skline.settings.source import Source, with_source_format
from skline.sources.tables import read_source
from skline.stages.derived_columns import Columns
from skline.stages.ingest import ingest
from tests.skline.init.test_tables import TABLES, Reading, plan_of, table_of

READINGS = {path: Reading.model_validate(yaml.safe_load(path.read_text())) for path in TABLES.glob("kind_*.yaml")}
CASES = sorted(path for path, reading in READINGS.items() if reading.error is None)


def as_numbers(values: pd.Series) -> pd.Series:
    """Unify the dtypes of columns with and without missing values."""
    return values.astype("float64") if values.dtype.kind in "bif" else values


@pytest.mark.parametrize("expected", CASES, ids=lambda path: path.stem)
def test_ingest_reads_what_init_decided(expected: Path) -> None:
    plan = plan_of(expected, READINGS[expected])
    table = table_of(expected)
    section = yaml.safe_load(plan.files[Path("params.yaml")])["source"]
    with imported_source(plan.files[CONTRACT]) as module:
        source = Source.model_validate(section)
        contract = with_source_format(derive_module(module), source)
    names = [column.name for column in contract.columns if column.name != "event_time"]
    cells, columns = read_source(table, source.model_copy(update={"missing": contract.shared_missing()}), names)

    def prepare(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(event_time=frame.get("x", frame.get("day")))

    result = ingest(cells, Columns(columns, contract, {}, prepare))
    assert result.unparsed.empty
    guesses = {guess.name: guess for guess in plan.guesses}
    for name in names:
        read, decided = as_numbers(result.table[name]), as_numbers(guesses[name].values)
        assert np.array_equal(read.isna(), decided.isna()), name
        assert (read.dropna() == decided.dropna()).all(), name
