"""Columns, which a stored plan contains, pickle to the same bytes in every process."""

import os
import pickle
import subprocess
import sys

from skline.contract.spec import Column
from tests.fixtures.demo import ROOT

COLUMN = 'Column(name="origin", kind="string", nullable=True, description="Airport", choices=("EWR", "JFK"))'
SCRIPT = f"import pickle; from skline.contract.spec import Column; print(pickle.dumps({COLUMN}))"


def test_the_bytes_do_not_depend_on_the_order_of_sets() -> None:
    bytes_by_seed = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(bytes_by_seed) == 1


def test_a_column_survives_pickling() -> None:
    column = Column(name="age", kind="integer", minimum=0, maximum=130.5, segment=False)
    restored = pickle.loads(pickle.dumps(column))  # noqa: S301 - made here
    assert restored == column
    assert type(restored.minimum) is int
    assert restored.model_fields_set == column.model_fields_set
