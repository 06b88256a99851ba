"""A stored plan needs neither scikit-learn nor pandas to answer, and answers only to the code that made it.

That it answers as the plan it was made of is asserted wherever a plan is: see `tables.assert_stored`.
"""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from skline.scoring import stored
from skline.scoring.plan import Plan, build_plan

from .tables import COLUMNS, fit, make_rows
from .test_estimators import CLASSIFIERS, prepared

ROWS = make_rows(40, seed=5)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return build_plan(fit(prepared(CLASSIFIERS["hgb"])), COLUMNS)


def test_a_plan_of_other_code_is_outdated(plan: Plan) -> None:
    with pytest.raises(stored.PlanOutdated, match="made by code 000000000000"):
        stored.load(b"0" * 64 + stored.dump(plan)[64:])


def test_what_is_no_plan_is_refused() -> None:
    with pytest.raises(stored.PlanOutdated, match="is a list"):
        stored.load(stored.code_digest().encode() + pickle.dumps([]))


CODE = """
import pathlib, pickle, sys
sys.modules["sklearn"] = sys.modules["pandas"] = None
from skline.scoring import stored
plan = stored.load(pathlib.Path(sys.argv[1]).read_bytes())
rows = pickle.loads(pathlib.Path(sys.argv[2]).read_bytes())
print([plan.score_row(row) for row in rows], plan.score_rows(rows).probabilities.tolist())
"""


def test_answering_needs_neither_sklearn_nor_pandas(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "plan").write_bytes(stored.dump(plan))
    (tmp_path / "rows").write_bytes(pickle.dumps(ROWS))
    command = [sys.executable, "-c", CODE, str(tmp_path / "plan"), str(tmp_path / "rows")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    chances = plan.score_rows(ROWS).probabilities
    assert chances is not None
    assert done.stdout.strip() == f"{[plan.score_row(row) for row in ROWS]} {chances.tolist()}"
