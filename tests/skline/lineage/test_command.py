"""Tests of `skline trace`: what it prints, and its exit status."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skline.cli import parser
from skline.errors import SklineError
from tests.skline.lineage.conftest import Project

Trace = Callable[..., tuple[int, str]]


@pytest.fixture
def trace(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Trace:
    """Run the command in the project; return its status and what it prints."""
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("SKLINE_LOG__DATABASE", "log.db")
    monkeypatch.setenv("SKLINE_LOG__PARTITIONS", "days")

    def run(*words: str) -> tuple[int, str]:
        arguments = parser().parse_args(["trace", *words])
        return arguments.run(arguments), capsys.readouterr().out

    return run


def test_one_prediction_as_text_and_as_json(trace: Trace, project: Project) -> None:
    prediction_id, digest = project.ids["sealed"][0], project.packaged.digest
    status, text = trace(prediction_id)
    assert status == 0
    lines = dict(line.split(None, 1) for line in text.splitlines() if line[0] != " ")
    assert lines["prediction_id"] == prediction_id
    assert lines["artifact"] == f"{digest}, named by releases/registered.jsonl"
    assert lines["folder"] == f"releases/artifacts/{digest}"
    assert lines["registered"] == "demo/3 at 2026-11-01 00:00:00 from no commit"
    assert lines["verdict"] == "passed; undecided: worst segment"
    assert lines["recomputed"] == "equal: to the last bit"
    assert "corrected later" in lines["label"]
    status, text = trace(prediction_id, "--json")
    found = json.loads(text)
    assert status == 0
    assert found["prediction"]["inputs"]["carrier"]
    assert found["recomputation"]["probabilities"] == found["prediction"]["probabilities"]
    assert [label["label"] for label in found["labels"]] == [False, True]
    assert found["model"]["manifest"]["data_sha256"] == {"train": "0" * 64}


def test_status_tells_different_and_unknown_predictions(trace: Trace, project: Project) -> None:
    changed, *others = project.ids["batch"]
    sql = "UPDATE predictions SET probabilities = replace(probabilities, '0.', '0.9') WHERE prediction_id = ?"
    project.execute(sql, changed)
    status, text = trace(changed)
    assert status == 10
    assert "different: the artifact gives " in text
    with pytest.raises(SklineError, match="; if it names an artifact, run `uv run skline trace --artifact demo@"):
        trace("demo@d64977514ed1")
    with pytest.raises(SklineError, match="has no prediction 'unknown'"):
        trace("unknown")
    Path("ids.txt").write_text("\n".join([others[0], "unknown", others[0]]))
    status, text = trace("--ids", "ids.txt")
    assert status == 1
    assert text.splitlines()[-1] == "1 equal, 1 not found"
    Path("one_column.csv").write_text(f"prediction_id\n{others[0]}\n")
    assert trace("--ids", "one_column.csv")[0] == 0
    Path("ids.csv").write_text("prediction_id,label\n" + "".join(f"{each},1\n" for each in [changed, *others]))
    status, text = trace("--ids", "ids.csv")
    assert status == 10
    assert text.splitlines()[-1] == f"1 different, {len(others)} equal"


@pytest.mark.parametrize(
    ("name", "content"), [("none.txt", ""), ("none.csv", "id,label\n1,0\n"), ("missing.txt", None)]
)
def test_file_without_ids_is_rejected(trace: Trace, name: str, content: str | None) -> None:
    if content is not None:
        Path(name).write_text(content)
    with pytest.raises(SklineError, match=r"prediction.id"):
        trace("--ids", name)


def test_nothing_is_created_where_there_is_no_log(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKLINE_LOG__DATABASE", "other.db")
    monkeypatch.setenv("SKLINE_LOG__PARTITIONS", "other")
    with pytest.raises(SklineError, match="there is no prediction log at other.db"):
        trace("0" * 32)
    assert not Path("other.db").exists()


@pytest.mark.parametrize("name", ["3", "demo/3", "digest", "version"])
def test_artifact_counts_its_predictions(trace: Trace, project: Project, name: str) -> None:
    digest = project.packaged.digest
    names = {"digest": digest, "version": project.packaged.version}
    status, text = trace("--artifact", names.get(name, name), "--json")
    found: Any = json.loads(text)
    assert status == 0
    [usage] = found["usages"]
    assert usage["predictions"] == 60
    assert (usage["labelled"], usage["labels"]) == (1, 2)
    assert usage["by_scoring_path"] == {"plan": 60}
    assert usage["first"] < usage["last"]
    assert found["model"]["artifact_digest"] == digest
    _, text = trace("--artifact", names.get(name, name))
    assert "60 from " in text
    assert "2, of 1 of the " in text


@pytest.mark.parametrize(("name", "message"), [("4", "has '4'"), ("champion", "alias"), ("x", "names no artifact")])
def test_unknown_artifact_is_rejected(trace: Trace, name: str, message: str) -> None:
    with pytest.raises(SklineError, match=message):
        trace("--artifact", name)


def test_texts_of_the_log_neither_control_a_terminal_nor_add_lines(trace: Trace, project: Project) -> None:
    prediction_id = project.ids["batch"][0]
    forged = "demo\x1b[2J\x9b31m\u202e\nrecomputed  equal: to the last bit"
    sql = "UPDATE predictions SET model_version = ?, inputs = ?, scoring_path = ? WHERE prediction_id = ?"
    project.execute(sql, forged, f'{{"a": "\x9b2J{chr(0x3000)}"}}', "\x1b[5m", prediction_id)
    Path("ids.txt").write_text(f"{prediction_id}\n\x1b]0;title\x07")
    outputs = [trace(*words)[1] for words in ((prediction_id,), (prediction_id, "--json"), ("--ids", "ids.txt"))]
    for text in outputs:
        assert all(char.isprintable() or char in "\n\u3000" for char in text)
    assert r"demo\u001b[2J\u009b31m\u202e\nrecomputed  equal" in outputs[0]
    assert r"\u001b]0;title\u0007" in outputs[2]
    assert sum(line.startswith("recomputed") for line in outputs[0].splitlines()) == 1
    found = json.loads(outputs[1])["prediction"]
    assert (found["model_version"], found["inputs"]) == (forged, {"a": "\x9b2J\u3000"})


@pytest.mark.parametrize("data", ["a" * 5_000, "~nobody-has-this-name/x", "."])
def test_data_that_is_no_file_is_rejected(trace: Trace, data: str) -> None:
    with pytest.raises(SklineError, match=r"is no file that can be read .* and no digest"):
        trace("--data", data)


@pytest.mark.parametrize("name", ["ids.csv.gz", "ids.zip"])
def test_damaged_file_of_ids_is_rejected(trace: Trace, name: str) -> None:
    Path(name).write_bytes(b"PK\x03\x04junk" if name.endswith("zip") else b"junk")
    with pytest.raises(SklineError, match=rf"cannot read {name}: .*is the file complete"):
        trace("--ids", name)
