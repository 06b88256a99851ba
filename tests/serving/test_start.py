"""How the service is started: safe settings or none, one process or several."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from skline import keys
from tests import demo


def skline(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {f"SKLINE_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "skline.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=demo.ROOT, check=False, timeout=60
    )


def test_it_does_not_listen_to_the_world_without_keys(tmp_path: Path) -> None:
    refused = skline("serve", "--host", "0.0.0.0", SECURITY__KEY_FILE=str(tmp_path / "none.json"))  # noqa: S104
    assert refused.returncode == 1
    assert "skline key new" in refused.stderr
    assert "--no-auth" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_check_prints_what_is_in_force_and_masks_secrets(tmp_path: Path) -> None:
    keys.add(tmp_path / "keys.json", "somebody", ["predict"])
    content = (tmp_path / "keys.json").read_text()
    shown = skline("serve", "--check", SECURITY__API_KEYS=content, LIMITS__RATE="5/second")
    assert shown.returncode == 0, shown.stderr
    assert "SKLINE_LIMITS__RATE = 5/second" in shown.stdout
    assert re.search(r"SKLINE_SECURITY__API_KEYS = \*+\n", shown.stdout)
    assert content not in shown.stdout
    unsafe = skline("serve", "--check", ENVIRONMENT="production", SECURITY__KEY_FILE=str(tmp_path / "none.json"))
    assert unsafe.returncode == 1
    assert "refused: in production there must be API keys" in unsafe.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "web"), ("LIMITS__RATE", "often"), ("FALLBACK__CHAIN", "[previous"), ("LOG__MODE", "on")],
)
def test_a_setting_that_is_wrong_is_named_in_one_line(name: str, value: str) -> None:
    done = skline("serve", "--check", **{name: value})
    assert done.returncode == 1
    assert name.split("__", maxsplit=1)[0] in done.stderr.upper()
    assert len(done.stderr.strip().splitlines()) == 1
