"""The generated pages and the schema of params.yaml are those of the code."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.dependency.param import MissingParamsError, ParamsDependency
from dvc.repo import Repo

from scripts import reference
from skline.contract.table import column
from skline.errors import SklineError
from skline.settings import Settings, schema
from skline.settings.declared import declared_settings
from tests.fixtures.demo import ROOT

SCHEMA = ROOT / "schemas/params.schema.json"


@pytest.mark.parametrize("path", reference.pages(), ids=lambda path: path.name)
def test_generated_page_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == reference.pages()[path], "run `uv run just docs`"


def test_configuration_lists_every_setting_once_with_its_meaning() -> None:
    lines = reference.configuration_page().splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| `")]
    names = [row[0].strip("|` ") for row in rows]
    assert len(names) == len(set(names))
    assert declared_settings().keys() <= set(names)
    assert set(names) >= reference.COMMON
    assert [row[0] for row in rows if len(row) != 4 or not row[3].strip(" |")] == []


def test_configuration_has_the_messages_about_a_misspelt_section(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("source: {uri: table.csv}\ngate: {}\n", encoding="utf-8")
    with Repo.init(str(tmp_path), no_scm=True) as repo, pytest.raises(MissingParamsError) as of_dvc:
        ParamsDependency(None, str(path), ["gates"], repo=repo).get_hash()
    with pytest.raises(SklineError) as of_doctor:
        Settings.load(path)
    page = " ".join(reference.configuration_page().split())
    assert f"`{str(of_dvc.value).replace(str(path), 'params.yaml')}`" in page
    assert f"`{str(of_doctor.value).rpartition(': ')[2]}`" in page


def test_docstring_of_column_lists_each_argument_in_order() -> None:
    documented = [name for names, _, _ in reference.parameters_of(column) for name in names]
    assert documented == list(inspect.signature(column).parameters)


def test_schema_is_current() -> None:
    assert schema.is_current(SCHEMA), "run `uv run skline sync`"


def check(tmp_path: Path, params: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "params.yaml"
    path.write_text(params, encoding="utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(SCHEMA), str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_schema_accepts_the_params_of_the_demo(tmp_path: Path) -> None:
    done = check(tmp_path, (ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("key", ["sead", "thresold"])
def test_schema_rejects_a_misspelt_key_by_name(tmp_path: Path, key: str) -> None:
    done = check(tmp_path, f"source: {{uri: table.csv}}\ntrain: {{{key}: 1}}\n")
    assert done.returncode == 1
    assert f"'{key}' was unexpected" in done.stdout


def test_every_section_of_the_schema_is_closed() -> None:
    root = json.loads(SCHEMA.read_text(encoding="utf-8"))
    sections = {name: section for name, section in root["$defs"].items() if "properties" in section} | {"": root}
    assert {name for name, section in sections.items() if section["additionalProperties"] is not False} == set()
