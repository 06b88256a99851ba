"""`skline init` in a project that depends on the engine."""

import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

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
    assert "is its value known when a prediction is requested?" in printed
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


def test_init_with_a_library_says_how_the_image_gets_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(project, InitOptions(table(project.parent), "sold", estimator="lightgbm"))
    assert "the image needs lightgbm too: once `dvc repro` has run, `uv run just req" in capsys.readouterr().out


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


def write_parts(folder: Path) -> Path:
    """Write a table as three files with semicolons and decimal commas."""
    folder.mkdir()
    whole = pd.read_csv(table(folder.parent))
    for number in range(3):
        whole[number::3].to_csv(folder / f"2013-{number + 1:02}.csv", index=False, sep=";", decimal=",")
    return folder


@pytest.mark.parametrize("pattern", ["", "/2013-*.csv"])
def test_init_takes_a_folder_or_a_pattern(project: Path, pattern: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_parts(project.parent / "house sales")
    init(project, InitOptions(f"{folder}{pattern}", "sold", settings={"trim": False}))
    printed = capsys.readouterr().out
    assert "200 rows, 1 input\n" in printed
    assert "DVC keeps the versions of data/source/house sales: commit data/source/house sales.dvc" in printed
    source = yaml.safe_load((project / "params.yaml").read_text())["source"]
    assert source == {"uri": f"data/source/house sales{pattern}", "trim": False, "delimiter": ";"}
    assert (project / "data/source/house sales/2013-03.csv").read_bytes() == (folder / "2013-03.csv").read_bytes()
    assert 'name = "house-sales"' in (project / "pyproject.toml").read_text()
    (project / "data/source/house sales/2013-04.csv").write_text("size;sold\n1;yes\n")
    with pytest.raises(SklineError, match=r"2013-04\.csv is not a file of the table"):
        init(project, InitOptions(f"{folder}{pattern}", "sold", force=True))


@pytest.mark.parametrize("name", ["dvc.yaml", "pyproject.toml", "src/model"])
def test_init_runs_in_the_root_of_a_project_only(project: Path, name: str) -> None:
    check_root(project)
    (project / name).rename(project / "elsewhere")
    with pytest.raises(SklineError, match=f"this folder has no {name}; run `uv run skline init` in the"):
        check_root(project)


@pytest.mark.parametrize("page", ["README.md", "README.md.jinja"])
def test_title_of_the_template_is_replaced_and_another_stays(tmp_path: Path, page: str) -> None:
    (tmp_path / "README.md").write_text((ROOT / page).read_text())
    assert set_readme_title(tmp_path, "Churn") == ["set the title of README.md"]
    assert (tmp_path / "README.md").read_text().startswith("# Churn\n")
    assert set_readme_title(tmp_path, "Other") == []
