"""Charts: room for their labels."""

import re

import pytest

from skline.reporting.charts import BOTTOM, CHARACTER_WIDTH, TOP, Axes

LABEL = re.compile(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="end">([^<]+)</text>')


@pytest.mark.parametrize("top", [0.0008, 0.012, 1.0, 9_500.0])
def test_the_labels_of_the_vertical_axis_are_within_the_chart(top: float) -> None:
    labels = LABEL.findall(Axes((0, 1), (-top, top)).frame("", ""))
    assert len(labels) >= 3
    assert all(float(end) >= CHARACTER_WIDTH * len(text) for end, text in labels)


@pytest.mark.parametrize("value", [0.0, -3.5, 1e17])
def test_a_constant_is_drawn_in_the_middle_of_its_axis(value: float) -> None:
    axes = Axes((0, 1), (value, value))
    assert axes.position(0, value)[1] == pytest.approx((TOP + axes.height - BOTTOM) / 2, abs=0.1)
