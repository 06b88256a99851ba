"""The wheel and the source distribution: what they contain, and that the wheel works in an empty environment."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from tests.fixtures.demo import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    run("uv", "build", "-q", "--out-dir", folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [path] = built.glob("*.whl")
    return path


def test_wheel_contains_the_package_skline_with_its_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src/skline").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected
    assert {"skline/py.typed", "skline/serving/page/index.html", "skline/evaluation/confusion.json"} <= names


def test_source_distribution_builds_the_same_wheel(built: Path, wheel: Path, tmp_path: Path) -> None:
    [source] = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        folders = {Path(name).parts[1] for name in archive.getnames() if len(Path(name).parts) > 1}
        assert folders <= {"src", "README.md", "pyproject.toml", "PKG-INFO", ".gitignore", "CHANGELOG.md", "LICENSE"}
    run("uv", "build", "-q", "--wheel", "--out-dir", tmp_path, source, cwd=tmp_path)
    [again] = tmp_path.glob("*.whl")
    assert again.name == wheel.name, "the version comes from PKG-INFO, without git"
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert {info.filename: info.CRC for info in first.infolist()} == {
            info.filename: info.CRC for info in second.infolist()
        }


def test_metadata_names_the_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = message_from_string(archive.read(name).decode())
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    assert metadata["Version"] != "0.0", "the version comes from git"


SCRIPT = """
import sys, skline, skline.contract.spec, skline.features, skline.artifact, skline.scoring.plan
import importlib.util
for name in ("fastapi", "dvc", "mlflow", "pyarrow", "dask"):
    assert importlib.util.find_spec(name) is None, name
print(skline.__file__)
"""


@pytest.mark.slow
def test_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    run("uv", "venv", "-q", "--python", sys.executable, "env", cwd=tmp_path)
    environment = tmp_path / "env"
    python = environment / "bin/python"
    run("uv", "pip", "install", "-q", "--python", python, wheel, cwd=tmp_path)
    assert str(environment) in run(python, "-c", SCRIPT, cwd=tmp_path)
    assert str(environment) in run(environment / "bin/skline", "--version", cwd=tmp_path)
    for name in ("doctor", "serve", "stage", "score"):
        assert "usage: skline" in run(environment / "bin/skline", name, "--help", cwd=tmp_path)
    without = subprocess.run(
        [environment / "bin/skline", "serve"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert without.returncode == 1
    assert "skline[serving]" in without.stderr
    assert without.stderr.count("\n") == 1
