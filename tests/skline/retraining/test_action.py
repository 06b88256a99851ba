"""`retrain.action` sets in params.yaml which snapshots the pipeline is fitted on, and nothing else."""

from pathlib import Path

import pytest
import yaml

from skline import paths
from skline.retraining import action
from skline.settings import Settings
from tests.fixtures import demo


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project with two snapshots the current folder; return its params.yaml."""
    monkeypatch.chdir(tmp_path)
    paths.FEEDBACK.mkdir(parents=True)
    for number in (1, 2):
        (paths.FEEDBACK / f"000{number}-20260{number}01T000000Z-20260{number + 1}01T000000Z.parquet").touch()
    return tmp_path / "params.yaml"


def apply(params: Path, kind: str) -> int | None:
    """Apply an action, and return the setting in the file."""
    text = params.read_text() if params.exists() else demo.PARAMS.read_text()
    values = yaml.safe_load(text) | {"retrain": {"action": kind}}
    params.write_text(yaml.safe_dump(values))
    settings = action.apply_action(Settings.load())
    stored = yaml.safe_load(params.read_text())
    assert settings == Settings.load()
    stored["source"].pop("fitted_snapshots", None)
    values["source"].pop("fitted_snapshots", None)
    assert stored == values, "no other setting has changed"
    return settings.source.fitted_snapshots


def test_recalibration_keeps_the_fit_until_an_action_fits_again(params: Path) -> None:
    assert apply(params, "recalibrate") == 2
    (paths.FEEDBACK / "0003-20260301T000000Z-20260401T000000Z.parquet").touch()
    assert apply(params, "recalibrate") == 2, "killed and started again, or the next recalibration"
    assert apply(params, "fit") is None
    assert apply(params, "recalibrate") == 3


def test_fit_leaves_params_yaml_as_it_is(params: Path) -> None:
    params.write_text(demo.PARAMS.read_text())
    action.apply_action(Settings.load())
    assert params.read_text() == demo.PARAMS.read_text()
