"""`skline init` in a project that depends on the engine."""

import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skline import engine
from skline.errors import SklineError
from skline.init.plan import InitOptions
from skline.init.project import check_root, set_readme_title
from skline.init.run import init
from tests.fixtures.demo import ROOT
from tests.skline.init.test_pyproject import template


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files of a rendered project that init reads or changes."""
    root = tmp_path / "project"
    (root / "src/model").mkdir(parents=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "pyproject.toml").write_text(template())
    (root / "README.md").write_text((ROOT / "README.md.jinja").read_text())
    (root / "src/model/placeholders.json").write_text('{"demo": true, "files": {}}')
    return root


def table(folder: Path) -> str:
    random, path = np.random.default_rng(1), folder / "house sales.csv"
    sold = random.choice(["yes", "no"], 200)
    pd.DataFrame({"size": random.normal(size=200).round(2), "sold": sold}).to_csv(path, index=False)
    return str(path)


def test_init_names_the_project_and_records_the_engine(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = InitOptions(table(project.parent), "sold")
    init(project, options)
    printed = capsys.readouterr().out
    assert f"recorded in engine.json that skline {engine.version()} makes the results" in printed
    assert "set the name in pyproject.toml to house-sales" in printed
    assert engine.read_record(project / "engine.json") == engine.current_record()
    content = tomllib.loads((project / "pyproject.toml").read_text())
    assert content["project"]["name"] == "house-sales"
    assert "demo" not in content["dependency-groups"]
    assert (project / "README.md").read_text().startswith("# House-sales: Sold\n")
    init(project, options)
    assert "Nothing changed" in capsys.readouterr().out
    record = engine.current_record()
    engine.write_record(record.model_copy(update={"version": "0.0.1"}), project / "engine.json")
    init(project, options)
    assert f"recorded in engine.json that skline {engine.version()} makes" in capsys.readouterr().out


def test_edited_file_or_other_table_is_rejected_before_estimators_are_compared(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = InitOptions(table(project.parent), "sold")
    init(project, options)
    copy, contract = project / "data/source/house sales.csv", project / "src/model/contract.py"
    monkeypatch.setattr("skline.init.run.make_plan", lambda *_: pytest.fail("the table was inspected"))
    table_before = copy.read_bytes()
    copy.write_text("size,sold\n")
    with pytest.raises(SklineError, match=r"^data/source/house sales\.csv exists and differs from .*Use --force"):
        init(project, options)
    copy.write_bytes(table_before)
    contract.write_text(contract.read_text() + "# mine\n")
    with pytest.raises(SklineError, match=r"^src/model/contract\.py was edited and would be replaced\. Nothing was"):
        init(project, options)
    monkeypatch.undo()
    init(project, InitOptions(options.table, "sold", force=True))
    assert "# mine" not in contract.read_text()


@pytest.mark.parametrize("name", ["dvc.yaml", "pyproject.toml", "src/model"])
def test_init_runs_in_the_root_of_a_project_only(project: Path, name: str) -> None:
    check_root(project)
    (project / name).rename(project / "elsewhere")
    with pytest.raises(SklineError, match=f"this folder has no {name}; run `skline init` in the root"):
        check_root(project)


@pytest.mark.parametrize("page", ["README.md", "README.md.jinja"])
def test_title_of_the_template_is_replaced_and_another_stays(tmp_path: Path, page: str) -> None:
    (tmp_path / "README.md").write_text((ROOT / page).read_text())
    assert set_readme_title(tmp_path, "Churn") == ["set the title of README.md"]
    assert (tmp_path / "README.md").read_text().startswith("# Churn\n")
    assert set_readme_title(tmp_path, "Other") == []
