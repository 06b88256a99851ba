"""A search says how far it is where nobody sees its progress bar."""

import pytest

from skline.search.progress import PlainProgress


def test_a_line_is_written_once_in_an_interval(capsys: pytest.CaptureFixture[str]) -> None:
    often, seldom = PlainProgress(interval=0.0), PlainProgress(interval=3600.0)
    for number in range(3):
        often.show(f"{number} of 3")
        seldom.show("never")
    assert capsys.readouterr().err == "0 of 3\n1 of 3\n2 of 3\n"
