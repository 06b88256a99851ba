"""Commands of a replay run in its project, and their output goes to one file."""

from pathlib import Path

import pytest

from skline.errors import SklineError
from skline.retraining.replay.commands import Commands


def test_output_of_all_commands_is_appended_and_the_end_of_it_is_in_the_error(tmp_path: Path) -> None:
    commands = Commands(tmp_path, tmp_path / "clock", tmp_path / "output.log")
    assert commands.run("--version") == 0
    with pytest.raises(SklineError, match=r"(?s)`dvc root` ended with status .*not inside of a DVC repository"):
        commands.run_dvc("root")
    output = (tmp_path / "output.log").read_text()
    assert output.index("$ skline --version") < output.index("$ dvc root")
