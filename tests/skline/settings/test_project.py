"""Tests of params.yaml: its defaults, and the messages for unknown keys and invalid values."""

from pathlib import Path

import pytest

from skline.errors import SklineError
from skline.settings import Settings
from tests.fixtures import demo

MINIMAL = "source: {uri: table.csv}\n"


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return Settings.load(path)


def test_params_of_the_project_are_valid() -> None:
    assert Settings.load(demo.ROOT / "params.yaml").source.uri


def test_every_section_but_source_has_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, MINIMAL)
    assert (settings.split.kind, settings.validate_.max_quarantined) == ("random", 0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "source is missing"),
        (MINIMAL + "train: {sead: 1}", "train.sead is an unknown key; did you mean 'seed'?"),
        (MINIMAL + "trian: {}", "trian is an unknown key; did you mean 'train'?"),
        (
            MINIMAL + "validate: {max_quarantined: 2}",
            "validate.max_quarantined: .*less than or equal to 1.*got 2",
        ),
        (MINIMAL + "split: {kind: time}", "a time split needs validation_from and test_from"),
        (
            MINIMAL + "split: {kind: time, validation_from: '2020-02-01', test_from: '2020-01-01'}",
            "must rise",
        ),
        (
            MINIMAL + "split: {kind: time, validation_from: -14d, test_from: -28d}",
            "validation_from .-14d. must be before test_from .-28d.",
        ),
        (MINIMAL + "split: {kind: time, validation_from: '2020-01-01', test_from: -28d}", "must both be dates, or"),
        (MINIMAL + "split: {kind: time, validation_from: -28d, test_from: -14d, live_from: -7d}", "live_from"),
        (MINIMAL + "split: {test_from: '2020-01-01'}", "cut dates belong to kind: time"),
        (MINIMAL + "split: {test: 0.6, validation: 0.4}", "must leave rows to train on"),
        (MINIMAL + "project: {name: 'No Spaces'}", "project.name"),
        (MINIMAL + "train: {threshold: {objective: fbeta, bta: 2}}", "train.threshold.bta is an unknown.*mean 'beta'?"),
        (MINIMAL + "train: {threshold: {objective: best}}", "train.threshold.objective: .*'cost'.*got 'best'"),
        (
            MINIMAL + "train: {threshold: f1}",
            "train.threshold: neither a number .* is written {objective: fbeta}.*'f1'",
        ),
        (MINIMAL + "train: {threshold: 2}", "train.threshold: Input should be less than or equal to 1 .got 2.$"),
        (MINIMAL + "evaluate: {threshold: 0.3}", "evaluate: .*move it to the section train, as train.threshold"),
        (MINIMAL + "gates: {champion: {margn: 1}}", "gates.champion.margn is an unknown key; did you mean 'margin'?"),
        ("a: [", "not valid YAML"),
        ("- a", "."),
    ],
)
def test_error_names_the_key_and_the_rule(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SklineError, match=message):
        load(tmp_path, text)


def test_error_for_a_missing_file_names_the_directory_to_run_in(tmp_path: Path) -> None:
    with pytest.raises(SklineError, match="run this from the project's root"):
        Settings.load(tmp_path / "params.yaml")
