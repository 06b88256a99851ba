"""The rendered params.yaml: it shows every gate that is in force, with what the gate limits."""

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
