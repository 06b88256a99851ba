"""A stored plan scores without the libraries of the pipeline, and is used only by the code that wrote it.

`tables.assert_planned` asserts for every plan that it gives the same scores after it was stored and loaded.
"""

import io
import pickle
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from skline.scoring import plan_storage
from skline.scoring.plan import Plan
from skline.scoring.planning import build_plan

from .tables import COLUMNS, fit, make_rows
from .test_estimators import CLASSIFIERS, preprocessed

ROWS = make_rows(40, seed=5)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return build_plan(fit(preprocessed(CLASSIFIERS["hgb"])), COLUMNS)


def test_plan_written_by_other_code_is_unusable(plan: Plan) -> None:
    with pytest.raises(plan_storage.UnusablePlan, match="written by code 000000000000"):
        plan_storage.load_plan(b"0" * 64 + plan_storage.dump_plan(plan)[64:], {})


def test_object_that_is_not_a_plan_is_unusable() -> None:
    with pytest.raises(plan_storage.UnusablePlan, match="it is a list"):
        plan_storage.load_plan(plan_storage.code_digest().encode() + b" numpy\n" + pickle.dumps([]), {})


class Recorder(pickle.Unpickler):
    """Records the modules whose objects a pickle holds."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.modules: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.modules.add(module)
        return super().find_class(module, name)


@pytest.mark.parametrize("name", sorted(CLASSIFIERS))
def test_the_first_line_names_all_code_whose_objects_a_plan_holds(name: str) -> None:
    plan = build_plan(fit(preprocessed(CLASSIFIERS[name])), COLUMNS)
    stored = plan_storage.dump_plan(plan)
    recorder = Recorder(stored.partition(b"\n")[2])
    recorder.load()
    own = {module for module in recorder.modules if module.partition(".")[0] == "skline"}
    others = {module.__name__ for module in plan_storage.OTHER_MODULES}
    assert {module for module in own if not module.startswith("skline.scoring.")} <= others
    packages = {module.partition(".")[0] for module in recorder.modules - own} - {*sys.stdlib_module_names}
    names = {"numpy": "numpy", "sklearn": "scikit-learn"}
    assert plan_storage.required_libraries(stored) == sorted(names[package] for package in packages)


def test_the_digest_covers_every_module_whose_functions_expressions_call() -> None:
    sources = Path(plan_storage.__file__).parent.rglob("*.py")
    imported = {
        name for source in sources for name in re.findall(r"from (skline\.features\S*) import", source.read_text())
    }
    assert "skline.features.arithmetic" in imported
    assert imported <= {module.__name__ for module in plan_storage.OTHER_MODULES}


@pytest.mark.parametrize("library", ["numpy", "scikit-learn", "scipy", "lightgbm"])
def test_a_plan_of_another_version_of_a_library_is_unusable(plan: Plan, library: str) -> None:
    stored, present = plan_storage.dump_plan(plan), version(library)
    plan_storage.load_plan(stored, {library: present})
    with pytest.raises(plan_storage.UnusablePlan, match=f"made with {library} 0.1.0; {library} {present} is installed"):
        plan_storage.load_plan(stored, {library: "0.1.0"})


def test_a_library_may_be_missing_unless_the_plan_holds_its_objects(plan: Plan) -> None:
    stored = plan_storage.dump_plan(plan)
    assert isinstance(plan_storage.load_plan(stored, {"gone": "1.0"}), Plan)
    line, _, payload = stored.partition(b"\n")
    with pytest.raises(plan_storage.UnusablePlan, match="it holds objects of gone, which is not installed here"):
        plan_storage.load_plan(line + b",gone\n" + payload, {"gone": "1.0"})


CODE = """
import pathlib, pickle, sys
sys.modules.update(dict.fromkeys(["sklearn", "pandas", "scipy", "joblib"]))
from skline.scoring import plan_storage
plan = plan_storage.load_plan(pathlib.Path(sys.argv[1]).read_bytes(), {})
rows = pickle.loads(pathlib.Path(sys.argv[2]).read_bytes())
print([plan.score_row(row) for row in rows], plan.score_rows(rows).probabilities.tolist())
"""


def test_scoring_needs_none_of_the_pipelines_libraries(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "plan").write_bytes(plan_storage.dump_plan(plan))
    (tmp_path / "rows").write_bytes(pickle.dumps(ROWS))
    command = [sys.executable, "-c", CODE, str(tmp_path / "plan"), str(tmp_path / "rows")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    probabilities = plan.score_rows(ROWS).probabilities
    assert probabilities is not None
    assert done.stdout.strip() == f"{[plan.score_row(row) for row in ROWS]} {probabilities.tolist()}"
