"""Processes end with one line for a person, or with a traceback for a defect."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from skline.card import markdown, sections
from skline.profile import profile
from skline.settings import Settings
from tests import demo


def python(*words: str, cwd: Path = demo.ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.parametrize("stage", ["ingest", "validate", "split", "train", "evaluate", "package", "register"])
def test_a_stage_without_its_inputs_says_so_in_one_line(stage: str, tmp_path: Path) -> None:
    done = python("-m", "skline.stages", stage, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml is missing")
    assert done.stderr.count("\n") == 1


def test_a_defect_keeps_its_traceback() -> None:
    done = python("-c", "from skline.process import run; run(lambda: 1 / 0)")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_output_is_not_lost_at_the_early_exit() -> None:
    done = python("-c", "from skline.process import run; run(lambda: print('x' * 100_000))")
    assert (done.returncode, len(done.stdout)) == (0, 100_001)


@pytest.mark.parametrize("options", [[], ["-u"]])
def test_a_reader_who_has_read_enough_ends_it_quietly(options: list[str]) -> None:
    code = "from skline.process import run; run(lambda: [print('x' * 1000) for _ in range(1000)] and None)"
    with subprocess.Popen(
        [sys.executable, *options, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=demo.ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 141


def test_another_pipe_that_breaks_is_a_defect() -> None:
    code = "from skline.process import run\ndef main():\n    raise BrokenPipeError('elsewhere')\nrun(main)"
    assert "BrokenPipeError: elsewhere" in python("-c", code).stderr


def test_serve_refuses_an_artifact_that_is_not_there(tmp_path: Path) -> None:
    done = python("-m", "skline.cli", "serve", "--artifact", str(tmp_path), "--digest", "0" * 64)
    assert done.returncode == 1
    assert "manifest.json cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_names_the_commands() -> None:
    assert "serve" in python("-m", "skline.cli", "--help").stdout


def test_a_profile_says_missing_shares_quantiles_and_categories() -> None:
    facts = profile(pa.Table.from_pandas(demo.parts()["train"]), demo.contract())["columns"]
    assert facts["distance"]["missing"] == 0
    assert facts["distance"]["quantiles"]["0.0"] == demo.parts()["train"]["distance"].min()
    assert sum(facts["origin"]["categories"].values()) == len(demo.parts()["train"])
    assert facts["flight_date"]["from"].startswith("2013-01-01")


def test_the_card_is_made_of_facts() -> None:
    facts = {
        "title": "Flights", "created_at": "now", "git_commit": None, "git_dirty": None,
        "libraries": {"numpy": "2"}, "metrics": {"rows": 3, "model": {"roc_auc": 0.7}, "dummy": {"roc_auc": 0.5}},
    }  # fmt: skip
    settings = Settings.load(demo.PARAMS)
    parts = {"train": {"rows": 1}, "test": {"rows": 3}}
    text = markdown("Flights", sections(settings, demo.contract(), facts, parts, {}))
    assert "| roc_auc | 0.7000 | 0.5000 |" in text
    assert "| origin | string | no | one of EWR, JFK, LGA | Airport of departure |" in text
    assert "- `dep_delay`: delay at departure, known at the gate" in text
