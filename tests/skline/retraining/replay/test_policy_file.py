"""A policy overrides sections of params.yaml, and a mistake in it is named."""

from pathlib import Path

import pytest
import yaml

from skline.errors import SklineError
from skline.retraining.replay.policy_file import override, read_policy
from skline.settings import Settings
from tests.fixtures.demo import ROOT


def test_a_policy_has_the_name_of_its_file_and_overrides_keys(tmp_path: Path) -> None:
    path = tmp_path / "weekly.yaml"
    path.write_text("retrain: {max_age: 7d}\nsplit: {live_from: null, validation_from: -28d}\n")
    policy = read_policy(path)
    assert policy.name == "weekly"
    params = {"retrain": {"min_labels": 10}, "split": {"live_from": "2013-11-01", "kind": "time"}, "train": {"seed": 1}}
    merged = override(params, policy.sections)
    assert merged == {
        "retrain": {"min_labels": 10, "max_age": "7d"},
        "split": {"kind": "time", "validation_from": "-28d"},
        "train": {"seed": 1},
    }
    assert params["split"] == {"live_from": "2013-11-01", "kind": "time"}, "unchanged"


def test_null_removes_a_key_also_from_a_section_that_params_lack() -> None:
    assert override({}, {"gates": {"floors": {"brier": None, "roc_auc": 0.6}}}) == {
        "gates": {"floors": {"roc_auc": 0.6}}
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "no mapping"),
        ("retrain: [", "not valid YAML"),
        ("retrian: {max_age: 7d}", "retrian: Extra inputs.*a policy may have name, description, source"),
        ("retrain: 3", "retrain: Input should be a valid dictionary"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(SklineError, match=message):
        read_policy(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SklineError, match="none.yaml cannot be read: No such file"):
        read_policy(tmp_path / "none.yaml")


def test_the_policy_of_the_documentation_is_the_one_that_it_shows() -> None:
    path = ROOT / "docs/policies/flights.yaml"
    assert f"```yaml\n{path.read_text()}```" in (ROOT / "docs/replay.md").read_text()
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings = Settings.parse(override(params, read_policy(path).sections), path)
    assert settings.retrain.auto_promote == "full"
    assert settings.split.moves
