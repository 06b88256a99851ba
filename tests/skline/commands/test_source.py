"""`skline source check` and the options that name a table."""

import argparse
from pathlib import Path

import pytest

from skline.cli import parser
from skline.commands._sources import parse_settings
from skline.errors import SklineError


def run(*words: str) -> None:
    arguments = parser().parse_args(["source", *words])
    arguments.run(arguments)


def test_check_prints_the_table_that_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("a;b\n1; x\n2;y\n", encoding="utf-8")
    run("check", str(tmp_path / "t.csv"), "--set", "delimiter=;", "--set", "trim=false")
    output = capsys.readouterr().out
    assert "2 rows and 2 columns, read in" in output
    assert output.splitlines()[-1].split() == ["b", "string", "0", "x"]


def test_check_reads_the_table_of_params(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("a,b\n1,\x1b[31mred\n", encoding="utf-8")
    Path("params.yaml").write_text("source: {uri: t.csv}\n", encoding="utf-8")
    run("check")
    assert "\\u001b[31mred" in capsys.readouterr().out
    with pytest.raises(SklineError, match="--query and --set describe another table"):
        run("check", "--set", "skip=1")


def test_settings_are_yaml_in_levels() -> None:
    texts = ["trim=false", "source.box.size=3", "box.names=[a, b]", "missing="]
    assert parse_settings(texts) == {"trim": False, "box": {"size": 3, "names": ["a", "b"]}, "missing": None}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["trim"], "write KEY=VALUE"),
        (["a=1", "a=2"], "a is set twice"),
        (["a=1", "a.b=2"], "a has a value already"),
        (["a=[1"], "not valid YAML"),
    ],
)
def test_rejects_contradictory_settings(texts: list[str], message: str) -> None:
    with pytest.raises(SklineError, match=message):
        parse_settings(texts)


def test_init_takes_settings_of_the_source() -> None:
    arguments = parser().parse_args(["init", "t.csv", "--target", "y", "--set", "trim=false"])
    assert isinstance(arguments, argparse.Namespace)
    assert parse_settings(arguments.settings) == {"trim": False}
