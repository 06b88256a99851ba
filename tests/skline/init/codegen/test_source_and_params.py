"""The rendered params.yaml: it shows every gate that is in force, with what the gate limits."""

import datetime as dt

import pytest
import yaml

from skline.init.codegen.source_and_params import render_params
from skline.settings import Settings
from skline.settings.evaluation import Gates
from tests.fixtures.demo import PARAMS, ROOT

CHOSEN = {"linear_margin": 0.04, "champion": {"margin": 0.015}, "min_rows": 80}


def render() -> str:
    return render_params("shop", "Shop", {"uri": "t.csv"}, {"kind": "random"}, CHOSEN, 160, "binary")


def test_params_show_every_gate_in_force() -> None:
    shown = yaml.safe_load(render())["gates"]
    in_force = Gates.model_validate(CHOSEN).model_dump(mode="json")
    assert shown == {name: value for name, value in in_force.items() if value not in (None, {})}
    assert shown["champion"] == {"require": "not_worse", "margin": 0.015, "segment_margin": 0.05}
    assert Settings.model_validate(yaml.safe_load(render())).gates == Gates.model_validate(CHOSEN)


def test_params_say_what_a_gate_limits() -> None:
    [line] = [line for line in render().splitlines() if line.startswith("    margin:")]
    assert line.endswith("# not_worse: largest loss of the metric that is tolerated, with 97.5 % confidence")
    assert max(map(len, render().splitlines())) <= 120


@pytest.mark.parametrize("name", ["true", "null", "2024", "1e5", "0x1f", "2024-01-31", "shop"])
def test_a_project_named_like_another_yaml_type_keeps_its_name(name: str) -> None:
    text = render_params(name, "Shop", {"uri": "t.csv"}, {"kind": "random"}, CHOSEN, 160, "binary")
    assert Settings.model_validate(yaml.safe_load(text)).project.name == name


def test_params_have_every_key_that_dvc_tracks() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    tracked = {key for stage in stages.values() for key in stage["params"] if isinstance(key, str)}
    assert {"train.params", "train.search", "train.seed"} <= tracked
    for text in (render(), PARAMS.read_text(), (ROOT / "params.yaml").read_text()):
        values = yaml.safe_load(text)
        for key in tracked:
            section, _, name = key.partition(".")
            assert section in values
            assert not name or name in values[section], f"{key}: DVC knows no defaults"


def test_params_of_a_table_with_times_have_the_policy_of_retraining_and_cuts_that_move() -> None:
    cuts = {"kind": "time", "validation_from": "-28d", "test_from": "-14d"}
    source, policy = {"uri": "t.csv", "window": "84d"}, {"max_age": "28d", "cooldown": "7d"}
    text = render_params("shop", "Shop", source, cuts, CHOSEN, 160, "binary", policy)
    settings = Settings.model_validate(yaml.safe_load(text))
    assert settings.split.moves
    assert (settings.source.window, settings.retrain.max_age) == (dt.timedelta(days=84), dt.timedelta(days=28))
    [line] = [line for line in text.splitlines() if line.startswith("retrain:")]
    assert "replays of tables in time" in line
    assert "quote the dates" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_params_of_a_regression_have_the_margin_of_monitoring() -> None:
    text = render_params("shop", "Shop", {"uri": "t.csv"}, {"kind": "random"}, CHOSEN, 160, "regression", None, 12.0)
    assert Settings.model_validate(yaml.safe_load(text)).monitor.performance.margin == 12
    assert "monitor: {}" not in text
