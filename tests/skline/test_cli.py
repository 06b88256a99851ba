"""Tests of the command line as a whole."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from skline import cli
from tests.fixtures.demo import ROOT
from tests.fixtures.server import free_port

COMMAND_FILES = [path.stem for path in (ROOT / "src/skline/commands").glob("[a-z]*.py")]


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    [action] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(action.choices)


def test_every_file_in_commands_is_one_command() -> None:
    assert sorted(subcommands(cli.parser())) == sorted(COMMAND_FILES)


@pytest.mark.parametrize("name", COMMAND_FILES)
def test_every_command_and_argument_has_a_help_text(name: str) -> None:
    parser = cli.parser()
    [action] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    assert {choice.dest: choice.help for choice in action._choices_actions}[name]
    for argument in subcommands(parser)[name]._actions:
        if not isinstance(argument, argparse._SubParsersAction):
            assert argument.help or argument.choices or argument.metavar == "TIME", argument.dest


def test_help_imports_neither_pandas_nor_pydantic(tmp_path: Path) -> None:
    code = "import sys; from skline import cli; cli.parser(); print(sorted({'pandas', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "[]\n"


def test_serve_rejects_a_missing_artifact_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "skline.cli", "serve", "--artifact", str(tmp_path), "--digest", "0" * 64]
    command += ["--port", str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "manifest.json cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [[], ["log"], ["key"]])
def test_command_without_its_subcommand_lists_them(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args(words)
    assert ended.value.code == 2
    printed, listed = capsys.readouterr().err, subcommands(cli.parser())
    names = subcommands(listed[words[0]]) if words else listed
    assert [name for name in names if f"\n    {name}" not in printed] == []


def test_help_lists_the_commands(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "skline.cli", "--help"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert [name for name in COMMAND_FILES if f"\n    {name}" not in done.stdout] == []


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [(["sevre"], "'serve'"), (["stage", "trian"], "'train'"), (["init", "t.csv", "--task", "binry"], "'binary'")],
)
def test_close_choice_is_suggested(words: list[str], suggestion: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.parser().parse_args(words)
    assert f"; did you mean {suggestion}? (choose from " in capsys.readouterr().err


def test_far_choice_has_no_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.parser().parse_args(["xyz"])
    assert "invalid choice: 'xyz' (choose from " in capsys.readouterr().err


def test_functions_of_commands_get_the_arguments_of_their_own_parser_only() -> None:
    assert set(vars(cli.parser().parse_args(["stage", "ingest"]))) == {"name", "run"}
