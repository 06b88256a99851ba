"""Tests of the elapsed time that a terminal shows during a fit."""

import io
import time

import numpy as np
import pytest

from skline.stages import progress
from skline.stages.train import train
from tests.fixtures import demo
from tests.fixtures.sample_project.pipeline import build_pipeline

PARAMS = {"model__max_iter": 20}


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Replace stderr. It is no fixture: pytest sets stderr anew between the fixtures and the test."""
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "UPDATE_SECONDS", 0.001)
    return stream


def test_shows_step_name_and_elapsed_time_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    with progress.show_elapsed("fit"):
        time.sleep(0.1)
    assert "fit 0:00" in terminal.getvalue()
    assert terminal.getvalue().endswith(progress.CLEAR_LINE)


def test_clears_the_line_when_the_step_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    with pytest.raises(ZeroDivisionError), progress.show_elapsed("fit"):
        time.sleep(0.1)
        raise ZeroDivisionError
    assert terminal.getvalue().endswith(progress.CLEAR_LINE)


def test_writes_nothing_where_stderr_is_not_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.show_elapsed("fit"):
        time.sleep(0.01)
    assert capsys.readouterr().err == ""


def test_fitted_model_is_the_same_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    parts, contract = demo.parts(), demo.contract()
    pipeline = train(parts["train"], contract, build_pipeline, PARAMS, seed=17)
    test = parts["test"][contract.input_names]
    assert np.array_equal(pipeline.predict_proba(test), demo.pipeline().predict_proba(test))
    assert pipeline[-1].verbose == 0
    assert "fit 0:" in terminal.getvalue()
